"""Canonical JSON and the digests made of it: what identity, the ledger and the fence of outputs
rest on."""

from __future__ import annotations

import hashlib
import json
from typing import Final, TypeAlias

JSON: TypeAlias = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"
JSONObject: TypeAlias = "dict[str, JSON]"

DIGEST_LENGTH: Final = 32

_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_json(value: JSON) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes.

    NaN and infinities raise ValueError, since JSON has no such numbers.
    """
    return _encode(value).encode("utf-8", "surrogatepass")


def digest(value: JSON) -> str:
    """128 bits of SHA-256 over the canonical JSON of `value`, as 32 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:DIGEST_LENGTH]


def digest_and_size(value: JSON) -> tuple[str, int]:
    """The `digest` of `value`, and how many bytes its canonical JSON has."""
    content = canonical_json(value)
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH], len(content)
