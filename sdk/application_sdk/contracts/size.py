"""The limit of a payload, and which part of one weighs most. Engines call `check_size` before they store anything."""

from __future__ import annotations

from typing import Final

from application_sdk.contracts.errors import PayloadTooLargeError
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES
from application_sdk.wire.size import travelling_size

__all__ = ["MAX_PAYLOAD_BYTES", "check_size", "size_of"]

_DOMINANT: Final = 0.5
"""A part that weighs more than this share of the whole is looked into for the part of it that does."""


def size_of(payload: JSON) -> int:
    """Bytes of the payload as JSON, which is what it weighs on its way and in every store."""
    return travelling_size(payload)


def check_size(payload: JSONObject, limit_bytes: int = MAX_PAYLOAD_BYTES, *, contract: str = "payload") -> int:
    """The payload's size in bytes. Raises PayloadTooLargeError when it is above the limit: trying again can't help.

    `contract` is the name of its class, for the message.
    """
    size = size_of(payload)
    if size <= limit_bytes:
        return size
    path, weight, count = _heaviest(payload, size)
    field = f"{contract}.{path}" if path else contract
    what = f"{count} items, " if count is not None else ""
    raise PayloadTooLargeError(
        f"This {contract} is {_human(size)} of JSON, the limit is {_human(limit_bytes)}.\n"
        f"  {field} weighs most: {what}{_human(weight)}.\n"
        "Put the data in a file and pass a FileReference in its place. Trying again will not help.",
        contract=contract,
        field=field,
        size_bytes=size,
        limit_bytes=limit_bytes,
    )


def _heaviest(payload: JSON, size: int) -> tuple[str, int, int | None]:
    """Path, size and number of items of the part that weighs most: as deep as a single part makes up most of it."""
    path, weight, node = "", size, payload
    while isinstance(node, dict) and node:
        sizes = {key: size_of(value) for key, value in node.items()}
        key = max(sizes, key=lambda name: (sizes[name], name))
        if path and sizes[key] < weight * _DOMINANT:
            break
        path, weight, node = f"{path}.{key}" if path else key, sizes[key], node[key]
    return path, weight, len(node) if isinstance(node, list | dict) else None


def _human(size: int) -> str:
    return f"{size / 1024:,.1f} KiB" if size >= 1024 else f"{size} bytes"
