"""From a disk into a store: files and directories under their digest, or under keys that an app
chose."""

from __future__ import annotations

import asyncio
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from application_sdk.contracts.types import FileReference
from application_sdk.storage import directory, keys
from application_sdk.storage.directory import Entry
from application_sdk.storage.errors import UnsafeFileError
from application_sdk.storage.forbidden import check_may_be_stored
from application_sdk.storage.parallel import SMALL_AT_ONCE, by_size, side_by_side
from application_sdk.storage.store import Store
from application_sdk.storage.transfer import Digest, Tick, digest_file, read_ahead, retry_request, upload_file

if TYPE_CHECKING:
    from mimetypes import MimeTypes

DEFAULT_TYPE: Final = "application/octet-stream"
_DATA_TYPES: Final = {
    ".avro": "application/avro",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


class Saved(NamedTuple):
    """What is in the store now."""

    ref: FileReference
    sent: bool
    """Whether any bytes had to be sent."""


class _Local(NamedTuple):
    """One file on this disk, and what is in it."""

    path: str
    """In its directory."""
    place: Path
    digest: Digest


class Saver:
    """Stores what lies on this disk."""

    def __init__(self, store: Store, tick: Tick) -> None:
        self._store = store
        self._tick = tick

    async def save(self, ref: FileReference, prefix: str) -> Saved:
        """Store the file or directory at `ref.local_path` below `prefix`, under its digest."""
        local = existing(ref)
        if local.is_dir():
            return await self._save_directory(ref, local, prefix)
        digest = await digest_file(local, self._tick)
        media = ref.content_type or type_of(ref.name or local.name)
        key = f"{prefix}{keys.object_name(digest.sha256, media, DEFAULT_TYPE)}"
        sent = await retry_request(lambda: self._lacks(key, digest.size), self._tick)
        if sent:
            await self._put(key, local, digest, media)
        return Saved(_stored(ref, local, key, digest, media, 1), sent)

    async def save_as(self, ref: FileReference, key: str, *, skip: bool) -> Saved:
        """Store under a key of the app's own; a directory's files below it, by their names. `skip`
        leaves out what is there with the same content."""
        local = existing(ref)
        if not local.is_dir():
            digest = await digest_file(local, self._tick)
            media = ref.content_type or type_of(key)
            sent = not (skip and await self._has(key, digest))
            if sent:
                await self._put(key, local, digest, media)
            return Saved(_stored(ref, local, key, digest, media, 1), sent)
        files = await self._files(local)
        wanted = files
        if skip:
            there = await side_by_side(lambda file: self._has(f"{key}/{file.path}", file.digest), files, SMALL_AT_ONCE)
            wanted = [file for file, known in zip(files, there, strict=True) if not known]
        await by_size(
            lambda file: self._put(f"{key}/{file.path}", file.place, file.digest, type_of(file.path)),
            wanted,
            lambda file: file.digest.size,
        )
        whole = Digest(sha256_of(_listing(files)), sum(file.digest.size for file in files))
        return Saved(_stored(ref, local, key, whole, directory.CONTENT_TYPE, len(files)), bool(wanted))

    async def _save_directory(self, ref: FileReference, local: Path, prefix: str) -> Saved:
        files = await self._files(local)
        listing = _listing(files)
        key = f"{prefix}{keys.object_name(sha256_of(listing), directory.CONTENT_TYPE, DEFAULT_TYPE)}"
        sent = await retry_request(lambda: self._lacks(key, len(listing)), self._tick)
        if sent:
            unique = {f"{prefix}{file.digest.sha256}": file for file in files}
            there = await retry_request(lambda: self._sizes(prefix), self._tick)
            await by_size(
                lambda item: self._put(item[0], item[1].place, item[1].digest, DEFAULT_TYPE),
                [(at, file) for at, file in unique.items() if there.get(at) != file.digest.size],
                lambda item: item[1].digest.size,
            )
            # The list last: where there is one, all that it names is there.
            await retry_request(lambda: self._store.put_bytes(key, listing, directory.CONTENT_TYPE), self._tick)
        whole = Digest(sha256_of(listing), sum(file.digest.size for file in files))
        return Saved(_stored(ref, local, key, whole, directory.CONTENT_TYPE, len(files)), sent)

    async def _files(self, local: Path) -> list[_Local]:
        found = await asyncio.to_thread(directory.local_files, local)
        digests = await by_size(
            lambda file: digest_file(file[1], self._tick), found, lambda file: file[1].stat().st_size
        )
        return [_Local(path, place, digest) for (path, place), digest in zip(found, digests, strict=True)]

    async def _put(self, key: str, local: Path, digest: Digest, media: str) -> None:
        await retry_request(lambda: upload_file(self._store, key, local, digest, media, self._tick), self._tick)

    async def _lacks(self, key: str, size: int) -> bool:
        info = await self._store.head(key)
        return info is None or info.size != size

    async def _sizes(self, prefix: str) -> dict[str, int]:
        """The sizes of what is stored there already: one list instead of a question for each of
        many files."""
        return {info.key: info.size async for info in self._store.list(prefix)}

    async def _has(self, key: str, digest: Digest) -> bool:
        """Whether an object of the app's own has this content. Its size alone wouldn't prove it."""
        info = await retry_request(lambda: self._store.head(key), self._tick)
        if info is None or info.size != digest.size:
            return False
        hasher = hashlib.sha256()
        async for chunk in read_ahead(self._store, key, 0, info.size, self._tick):
            hasher.update(chunk)
        return hasher.hexdigest() == digest.sha256


def existing(ref: FileReference) -> Path:
    """Where a reference's file or directory lies on this disk. Raises UnsafeFileError."""
    local = Path(ref.local_path or "")
    if not ref.local_path or not (local.is_file() or local.is_dir()):
        raise UnsafeFileError(
            f"{ref.local_path!r} is to be stored, but there is no file or directory of that name here: a task stores "
            "what it has written itself"
        )
    check_may_be_stored(local)
    return local


def type_of(name: str) -> str:
    """The media type that a file's name promises: the same on every machine, whatever it has in
    /etc/mime.types."""
    media, encoding = _known_types().guess_type(name)
    return f"application/{encoding}" if encoding else media or DEFAULT_TYPE


@lru_cache(maxsize=1)
def _known_types() -> MimeTypes:
    from mimetypes import MimeTypes

    known = MimeTypes()
    for ending, media in _DATA_TYPES.items():
        known.add_type(media, ending)
    return known


def sha256_of(content: bytes) -> str:
    """The SHA-256 of something small, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _listing(files: list[_Local]) -> bytes:
    return directory.write_listing([Entry(file.path, file.digest) for file in files])


def _stored(ref: FileReference, local: Path, key: str, digest: Digest, media: str, count: int) -> FileReference:
    return FileReference(
        storage_path=key,
        is_durable=True,
        file_count=count,
        tier=ref.tier,
        auto_materialize=ref.auto_materialize,
        sha256=digest.sha256,
        size_bytes=digest.size,
        name=directory.checked_name(ref.name or local.resolve().name or "files"),
        content_type=media,
    )
