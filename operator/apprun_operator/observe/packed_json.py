"""JSON of users and pods, kept as text: decoded, `{"a": [{}, {}]}` takes twenty times the memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Packed:
    """One JSON value as compact UTF-8.

    It is decoded where the pod, patch or object that contains it is built.
    """

    data: bytes

    @classmethod
    def of(cls, value: object) -> Packed:
        return cls(_encode(value).encode("utf-8", "surrogatepass"))

    def decode(self) -> JSON:
        return cast("JSON", json.loads(self.data.decode("utf-8", "surrogatepass")))

    def object(self) -> JSONObject:
        """Decode a value that was an object when it was packed."""
        return cast("JSONObject", self.decode())


EMPTY: Final = Packed(b"{}")


@dataclass(frozen=True, slots=True)
class Contracts:
    """The contracts that an App publishes: all of them packed, and the fields that plans read
    often."""

    packed: Packed
    code: str = ""
    image_digest: str = ""
    source_digest: str = ""
    default_entrypoint: str = ""
    tasks: frozenset[str] | None = None
    """Names of the tasks; None if the contracts don't list them."""

    @classmethod
    def of(cls, value: JSONObject) -> Contracts:
        listed = value.get("tasks")
        tasks = None
        if isinstance(listed, list):
            tasks = frozenset(str(task.get("name")) for task in listed if isinstance(task, dict))
        code, image, source, entrypoint = (
            str(value.get(name) or "") for name in ("code", "imageDigest", "sourceDigest", "defaultEntrypoint")
        )
        return cls(Packed.of(value), code, image, source, entrypoint, tasks)
