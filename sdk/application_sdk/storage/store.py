"""What a store can do, whatever it is: `folder` implements it for folders, `remote` for object
stores.

Errors are those of `storage.errors`. Keys are plain (`keys.checked_key`); nothing here knows runs
or references.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable
from typing import NamedTuple, Protocol

CHUNK_BYTES = 8 * 1024 * 1024
"""Size of the pieces in which large files travel. A part of a multipart upload has at least so
many."""
IN_FLIGHT_BYTES = 32 * 1024 * 1024
"""How much of one file may be on its way at a time: what bounds the memory of a transfer."""
UNKNOWN_SIZE = -1
"""Of an object that is still being written."""
MAX_PARTS = 9000
"""S3 takes 10,000 parts."""


class ObjectInfo(NamedTuple):
    """What a store says of an object."""

    key: str
    size: int
    content_type: str | None = None
    """None where the store doesn't keep it, or wasn't asked."""
    modified: float = 0.0
    """Seconds since the epoch."""


class Cleared(NamedTuple):
    """What was deleted."""

    objects: int
    size: int
    """In bytes."""


class Store(Protocol):
    """A place for objects by key."""

    @property
    def name(self) -> str:
        """The store for people: its URL, without secrets."""
        ...

    @property
    def keeps_content_type(self) -> bool: ...

    async def head(self, key: str) -> ObjectInfo | None:
        """What there is under a key, or None."""
        ...

    async def put(self, key: str, chunks: AsyncIterator[bytes], size: int, content_type: str) -> None:
        """Store an object: all of it or nothing. An error that `chunks` raises is passed on."""
        ...

    async def put_bytes(self, key: str, content: bytes, content_type: str) -> None:
        """Store a small object in one request."""
        ...

    async def get(self, key: str, start: int, length: int) -> bytes:
        """A range of an object; shorter at its end, empty beyond it. Raises ObjectMissingError."""
        ...

    async def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store. Raises ObjectMissingError."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """The objects whose keys lie below a prefix that ends with a slash, or all for ""; in no
        certain order."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that aren't there are deleted already."""
        ...

    async def clear(self, prefix: str, keep: Container[str]) -> Cleared:
        """Delete all objects below a prefix, to which nobody writes any more, but for the keys to
        keep."""
        ...


def part_size(size: int) -> int:
    """How large the parts of a file of this size are, in bytes."""
    return IN_FLIGHT_BYTES if size == UNKNOWN_SIZE else max(CHUNK_BYTES, -(-size // MAX_PARTS))


def parts_in_flight(part: int) -> int:
    """How many parts may be on their way at a time."""
    return max(1, IN_FLIGHT_BYTES // part)
