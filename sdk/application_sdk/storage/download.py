"""From a store onto a disk: files and directories, each of them what its reference says, or an
error that names it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from application_sdk.contracts.types import FileReference
from application_sdk.storage import directory, keys
from application_sdk.storage.directory import Entry
from application_sdk.storage.errors import ObjectChangedError, ObjectMissingError
from application_sdk.storage.parallel import by_size
from application_sdk.storage.store import ObjectInfo, Store
from application_sdk.storage.transfer import Digest, Expected, Tick, download_file, retry_request
from application_sdk.storage.upload import sha256_of

MAX_LISTING_BYTES: Final = 256 * 1024 * 1024
_LISTING_START: Final = b'{"files":['


class Fetcher:
    """Fetches what is stored. Whether it may be read is checked before."""

    def __init__(self, store: Store, tick: Tick) -> None:
        self._store = store
        self._tick = tick

    async def fetch(self, ref: FileReference, key: str, place: Path) -> FileReference:
        """Put a file or directory at `place`; the reference with all that is known of it then."""
        media = ref.content_type if self._store.keeps_content_type else None
        expected = Expected(ref.sha256 or keys.digest_in(key), ref.size_bytes, media)
        if ref.content_type == directory.CONTENT_TYPE:
            return await self._directory(ref, key, place, expected)
        await asyncio.to_thread(_make_folders, {place.parent})
        digest_found = await self._file(key, place, expected)
        return _local(ref, place, digest_found.sha256, digest_found.size, 1)

    async def listing(self, key: str, promised: str | None = None) -> list[Entry]:
        """The files of a directory that is stored under its digest."""
        content = await retry_request(lambda: self._store.get(key, 0, MAX_LISTING_BYTES), self._tick)
        promised = promised or keys.digest_in(key)
        if promised is not None and sha256_of(content) != promised:
            raise ObjectChangedError(
                f"object {key!r} of {self._store.name}, the list of a directory's files, isn't what its reference "
                f"says: SHA-256 {promised} expected, {sha256_of(content)} found"
            )
        return directory.read_listing(content, key)

    async def members(self, key: str) -> list[str]:
        """The keys of a stored directory's files, given the key of its list; nothing for a file."""
        info = await self.info(key)
        if info is None or not await self.is_listing(info):
            return []
        prefix = key.rpartition("/")[0]
        return [f"{prefix}/{entry.digest.sha256}" for entry in await self.listing(key)]

    async def info(self, key: str) -> ObjectInfo | None:
        """What the store says of an object."""
        return await retry_request(lambda: self._store.head(key), self._tick)

    async def is_listing(self, info: ObjectInfo) -> bool:
        """Whether an object is the list of a directory's files."""
        if info.content_type is not None:
            return info.content_type == directory.CONTENT_TYPE
        if info.size > MAX_LISTING_BYTES or not keys.is_content_key(info.key):
            return False
        start = await retry_request(lambda: self._store.get(info.key, 0, len(_LISTING_START)), self._tick)
        return start == _LISTING_START

    async def look_up(self, key: str) -> FileReference:
        """A reference to what is stored under a key: a file, or the files below it. Raises
        ObjectMissingError."""
        name = key.rpartition("/")[2]
        info = await self.info(key)
        if info is not None:
            media = directory.CONTENT_TYPE if await self.is_listing(info) else info.content_type
            return FileReference(storage_path=key, is_durable=True, content_type=media, name=name)
        async for _ in self._store.list(f"{key}/"):
            return FileReference(storage_path=key, is_durable=True, content_type=directory.CONTENT_TYPE, name=name)
        raise missing(self._store, key)

    async def _file(self, key: str, place: Path, expected: Expected) -> Digest:
        return await retry_request(lambda: download_file(self._store, key, place, expected, self._tick), self._tick)

    async def _directory(self, ref: FileReference, key: str, place: Path, expected: Expected) -> FileReference:
        if keys.is_content_key(key):
            prefix = key.rpartition("/")[0]
            jobs = [(f"{prefix}/{entry.digest.sha256}", entry) for entry in await self.listing(key, expected.sha256)]
        else:
            jobs = [
                (info.key, Entry(directory.checked_path(info.key.removeprefix(f"{key}/")), Digest("", info.size)))
                async for info in self._store.list(f"{key}/")
            ]
        await asyncio.to_thread(_make_folders, {place, *((place / entry.path).parent for _, entry in jobs)})
        digest_found = await by_size(
            lambda job: self._file(job[0], place / job[1].path, _expected(job[1])),
            jobs,
            lambda job: job[1].digest.size,
        )
        entries = [Entry(entry.path, digest) for (_, entry), digest in zip(jobs, digest_found, strict=True)]
        sha256 = sha256_of(directory.write_listing(entries))
        if expected.sha256 is not None and sha256 != expected.sha256:
            raise ObjectChangedError(
                f"directory {key!r} of {self._store.name} isn't what its reference says: digest {expected.sha256} "
                f"expected, {sha256} found over its {len(entries)} files"
            )
        return _local(ref, place, sha256, sum(digest.size for digest in digest_found), len(entries))


def missing(store: Store, key: str) -> ObjectMissingError:
    """What to say of a key without an object."""
    return ObjectMissingError(f"the store {store.name} has no object {key!r}: was it deleted?")


def _make_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def _expected(entry: Entry) -> Expected:
    return Expected(entry.digest.sha256 or None, entry.digest.size)


def _local(ref: FileReference, place: Path, sha256: str, size: int, count: int) -> FileReference:
    return ref.model_copy(update={"local_path": str(place), "sha256": sha256, "size_bytes": size, "file_count": count})
