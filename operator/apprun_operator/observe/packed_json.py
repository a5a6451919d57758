"""JSON of users and pods, kept as text: decoded, `{"a": [{}, {}]}` takes twenty times the memory that etcd gives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Packed:
    """One JSON value as compact UTF-8. Decode it where the pod, patch or object is built that it goes into."""

    data: bytes

    @classmethod
    def of(cls, value: object) -> Packed:
        return cls(_encode(value).encode("utf-8", "surrogatepass"))

    def decode(self) -> JSON:
        return cast("JSON", json.loads(self.data.decode("utf-8", "surrogatepass")))

    def object(self) -> JSONObject:
        """Of what was an object when it was packed."""
        return cast("JSONObject", self.decode())


EMPTY: Final = Packed(b"{}")


@dataclass(frozen=True, slots=True)
class Contracts:
    """What an App publishes of its code: all of it packed, and what runs and plans ask for again and again."""

    packed: Packed
    code: str = ""
    image_digest: str = ""
    source_digest: str = ""
    default_entrypoint: str = ""

    @classmethod
    def of(cls, value: JSONObject) -> Contracts:
        names = ("code", "imageDigest", "sourceDigest", "defaultEntrypoint")
        return cls(Packed.of(value), *(str(value.get(name) or "") for name in names))
