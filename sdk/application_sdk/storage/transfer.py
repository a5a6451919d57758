"""One file between a disk and a store: streamed, in parallel pieces, and never taken for good
unless its digest is.

Memory doesn't grow with the file. What is under way can be cancelled at any time: a store shows a
whole object or none, a disk a whole file or none.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeVar

from application_sdk.storage.errors import (
    FileChangedError,
    ObjectChangedError,
    ObjectMissingError,
    StoreUnavailableError,
)
from application_sdk.storage.store import CHUNK_BYTES, ObjectInfo, Store, parts_in_flight

T = TypeVar("T")
Tick = Callable[[str], None]
"""Told of each piece that has got through: the measure of progress."""

PATIENCE_SECONDS: Final = 900.0
"""For how long a store that doesn't answer is tried again before the attempt fails. The work behind
an upload is done: to give it up early would be to do it again."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_SMALL: Final = CHUNK_BYTES
READ_ONLY: Final = 0o444


class Digest(NamedTuple):
    """What a file's content is."""

    sha256: str
    size: int


class Expected(NamedTuple):
    """What an object has to be. None where nobody said."""

    sha256: str | None
    size: int | None
    content_type: str | None = None


async def retry_request(action: Callable[[], Awaitable[T]], said: Tick, patience: float = PATIENCE_SECONDS) -> T:
    """What `action` gives, tried again while the store is unavailable, for so many seconds at
    most."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            return await action()
        except StoreUnavailableError as error:
            if loop.time() + pause > deadline:
                raise
            logging.getLogger("apprun.files").warning("%s; trying again in %g s", error, pause)
            said("another try of a store that is unavailable")
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def digest_file(path: Path, tick: Tick) -> Digest:
    """Size and SHA-256 of a file. Small ones in one step."""
    small = await asyncio.to_thread(_digest_small, path)
    if small is not None:
        return small
    hasher, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while True:
            chunk = await asyncio.to_thread(_read_and_hash, file, hasher)
            if not chunk:
                return Digest(hasher.hexdigest(), size)
            size += len(chunk)
            tick(f"{size} bytes of {path.name} read")


async def upload_file(store: Store, key: str, path: Path, digest: Digest, content_type: str, tick: Tick) -> None:
    """Store a file whose digest is known. Raises FileChangedError when it isn't, or no longer, the
    file's."""
    if digest.size <= _SMALL:
        content = await asyncio.to_thread(path.read_bytes)
        if Digest(hashlib.sha256(content).hexdigest(), len(content)) != digest:
            raise _changed_file(path)
        await store.put_bytes(key, content, content_type)
        tick(f"{path.name} uploaded")
        return
    await store.put(key, _checked_chunks(path, digest, tick), digest.size, content_type)
    stored = await store.head(key)
    if stored is None or stored.size != digest.size:
        found = "isn't there" if stored is None else f"has {stored.size} bytes"
        raise StoreUnavailableError(
            f"the store {store.name} took {key!r} ({digest.size} bytes), but it {found} afterwards"
        )


async def download_file(store: Store, key: str, target: Path, expected: Expected, tick: Tick) -> Digest:
    """Write an object to a new file, which appears complete, read-only and checked, or not at all.

    Raises ObjectMissingError, ObjectChangedError.
    """
    known = expected.sha256 is not None and expected.size is not None and not expected.content_type
    if known and expected.size is not None and 0 < expected.size <= _SMALL:
        # One byte more than there should be: so one request tells of an object that has grown as
        # well.
        content = await store.get(key, 0, expected.size + 1)
        found = Digest(hashlib.sha256(content).hexdigest(), len(content))
        _check(store, key, found, expected)
        await asyncio.to_thread(_write_small, target, content)
        tick(f"{target.name} downloaded")
        return found
    info = await store.head(key)
    if info is None:
        raise ObjectMissingError(f"the store {store.name} has no object {key!r}: was it deleted?")
    _check_info(store, info, expected)
    partial = target.with_name(f".{uuid.uuid4().hex}")
    try:
        found = await _download(store, key, info.size, partial, tick)
        _check(store, key, found, expected)
        partial.chmod(READ_ONLY)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return found


async def read_ahead(store: Store, key: str, start: int, end: int, tick: Tick) -> AsyncIterator[bytes]:
    """The bytes of an object from `start` to before `end`, in order, while the next pieces are
    fetched."""
    under_way: deque[asyncio.Task[bytes]] = deque()
    at = start
    try:
        while at < end or under_way:
            while at < end and len(under_way) < parts_in_flight(CHUNK_BYTES):
                length = min(CHUNK_BYTES, end - at)
                under_way.append(asyncio.ensure_future(store.get(key, at, length)))
                at += length
            chunk = await under_way.popleft()
            tick(f"{len(chunk)} bytes of {key} fetched")
            yield chunk
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _checked_chunks(path: Path, digest: Digest, tick: Tick) -> AsyncIterator[bytes]:
    """A file in pieces, the last of which is only given when all of them are what they should
    be."""
    hasher, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        chunk = await asyncio.to_thread(_read_and_hash, file, hasher)
        while chunk:
            following = await asyncio.to_thread(_read_and_hash, file, hasher)
            size += len(chunk)
            if size > digest.size or (not following and (hasher.hexdigest(), size) != digest):
                raise _changed_file(path)
            yield chunk
            tick(f"{size} of {digest.size} bytes of {path.name} sent")
            chunk = following


async def _download(store: Store, key: str, size: int, target: Path, tick: Tick) -> Digest:
    hasher, written = hashlib.sha256(), 0
    with target.open("wb", buffering=0) as file:
        async for chunk in read_ahead(store, key, 0, size, tick):
            await asyncio.to_thread(_hash_and_write, file, hasher, chunk)
            written += len(chunk)
    return Digest(hasher.hexdigest(), written)


def _check_info(store: Store, info: ObjectInfo, expected: Expected) -> None:
    """What can be told before any byte is fetched."""
    if expected.size is not None and info.size != expected.size:
        raise _changed(store, info.key, f"{expected.size} bytes", f"{info.size} bytes")
    if expected.content_type and info.content_type and info.content_type != expected.content_type:
        raise _changed(store, info.key, f"content type {expected.content_type}", info.content_type)


def _check(store: Store, key: str, found: Digest, expected: Expected) -> None:
    if expected.size is not None and found.size != expected.size:
        more = " or more" if found.size > expected.size else ""
        raise _changed(store, key, f"{expected.size} bytes", f"{found.size} bytes{more}")
    if expected.sha256 is not None and found.sha256 != expected.sha256:
        raise _changed(store, key, f"SHA-256 {expected.sha256}", found.sha256)


def _changed(store: Store, key: str, wanted: str, found: str) -> ObjectChangedError:
    return ObjectChangedError(
        f"object {key!r} of {store.name} isn't what its reference says: {wanted} expected, {found} found. It was "
        "altered after it was stored: put the original back, or run again what made it"
    )


def _changed_file(path: Path) -> FileChangedError:
    return FileChangedError(
        f"{path} was written to while it was uploaded: close it, and end what writes to it, before the task returns"
    )


def _digest_small(path: Path) -> Digest | None:
    if path.stat().st_size > _SMALL:
        return None
    content = path.read_bytes()
    return Digest(hashlib.sha256(content).hexdigest(), len(content))


def _read_and_hash(file: IO[bytes], hasher: hashlib._Hash) -> bytes:
    chunk = file.read(CHUNK_BYTES)
    hasher.update(chunk)
    return chunk


def _hash_and_write(file: IO[bytes], hasher: hashlib._Hash, chunk: bytes) -> None:
    hasher.update(chunk)
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _write_small(target: Path, content: bytes) -> None:
    partial = target.with_name(f".{uuid.uuid4().hex}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READ_ONLY)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor is no path
            file.write(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
