"""The files of one attempt: those of its input are put on its disk, those of its output into the
store.

`attempt.attempt` makes a `FileStorage` when it first meets a reference; tasks reach it as
`self.context.storage`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from application_sdk.contracts.references import references, replaced
from application_sdk.contracts.storage import DownloadInput, DownloadOutput, UploadInput, UploadOutput
from application_sdk.contracts.types import FileReference, StorageTier
from application_sdk.errors import MisuseError
from application_sdk.storage import directory, keys
from application_sdk.storage.config import StoreConfig, from_environment
from application_sdk.storage.download import Fetcher, missing
from application_sdk.storage.errors import ObjectChangedError, UnsafeFileError, UnsafeReferenceError
from application_sdk.storage.keys import Scope
from application_sdk.storage.parallel import LARGE_AT_ONCE, SMALL_AT_ONCE, side_by_side
from application_sdk.storage.store import Cleared, ObjectInfo, Store
from application_sdk.storage.transfer import Tick, digest_file, read_ahead, retry_request
from application_sdk.storage.upload import Saver, sha256_of, type_of
from application_sdk.storage.writing import FileWriter

T = TypeVar("T")


class Place(NamedTuple):
    """Where files lie on this machine, when the engine says so; pods leave it to their
    environment."""

    url: str
    scratch: str


class FileStorage:
    """Files of a run, in its store and on this disk. Use it in tasks, from the event loop."""

    def __init__(
        self,
        scope: Scope,
        place: Place | None = None,
        tick: Tick = lambda sign: None,
        store: Store | None = None,
        hide: Callable[[str], None] = lambda value: None,
    ) -> None:
        """`tick` is told of progress, `hide` of values that must not be told to anybody."""
        self.scope = scope
        self._place = place
        self._tick = tick
        self._opened = store
        self._hide = hide
        self._scratch: Path | None = None

    @property
    def store(self) -> Store:
        """The store behind it. Raises StoreNotConfiguredError."""
        if self._opened is None:
            config = from_environment(os.environ) if self._place is None else StoreConfig(self._place.url, {})
            for value in config.secrets():
                self._hide(value)
            self._opened = config.open()
        return self._opened

    def close(self) -> None:
        """Remove the copies on this disk. Pods don't ask for it: their disk goes with them."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    # What happens by itself

    async def fetch_all(self, value: T) -> T:
        """`value` with each stored file in it on this disk, and its `local_path` set."""
        wanted = [ref for ref in references(value) if ref.is_durable and ref.auto_materialize and ref.storage_path]
        if not wanted:
            return value
        return replaced(value, dict(zip(wanted, await side_by_side(self.fetch, wanted, LARGE_AT_ONCE), strict=True)))

    async def store_all(self, value: T) -> T:
        """`value` with each local file in it stored, and nothing in it that means something on this
        disk only."""
        by: dict[FileReference, FileReference] = {}
        new: list[FileReference] = []
        for ref in references(value):
            if ref.is_durable:
                by[ref] = ref.model_copy(update={"local_path": None})
            elif ref.auto_materialize and ref.local_path:
                new.append(ref)
        by.update(zip(new, await side_by_side(self.keep, new, LARGE_AT_ONCE), strict=True))
        return replaced(value, by)

    async def keep(self, ref: FileReference) -> FileReference:
        """Store the file or directory at `ref.local_path` under its digest. Raises StorageError."""
        return (await self._saver.save(ref, self.scope.prefix(ref.tier))).ref

    async def fetch(self, ref: FileReference, target: Path | None = None) -> FileReference:
        """Put what `ref` refers to on this disk, at `target` or a place of its own. Raises
        StorageError."""
        key = self._readable(ref)
        return await self._fetcher.fetch(ref, key, target or self._own_place(ref, key))

    # What apps ask for

    async def upload(self, given: UploadInput) -> UploadOutput:
        """Store a file or directory: under its digest, or under the key that the app chose."""
        source = given.local_path
        if not source and given.ref is not None:
            if given.storage_path is None and given.storage_subdir is None and given.ref.is_durable:
                return await self._change_tier(given.ref, given.tier)
            source = given.ref.local_path or (await self.fetch(given.ref)).local_path or ""
        if not source:
            raise MisuseError("upload() needs local_path, or a ref that was stored")
        if given.raise_on_empty:
            await asyncio.to_thread(_check_not_empty, Path(source))
        name = given.ref.name if given.ref is not None else None
        local = FileReference(local_path=source, tier=given.tier, name=name)
        if given.storage_path is not None:
            key = keys.checked_key(given.storage_path)
            keys.check_writable(key)
            saved = await self._saver.save_as(local, key, skip=given.skip_if_exists)
        else:
            prefix = self.scope.prefix(given.tier)
            if given.storage_subdir:
                prefix += f"{keys.checked_key(given.storage_subdir, 'storage_subdir')}/"
            saved = await self._saver.save(local, prefix)
        reason = "uploaded" if saved.sent else "skipped:hash_match"
        return UploadOutput(ref=saved.ref, synced=saved.sent, reason=reason if saved.ref.file_count else "empty")

    async def download(self, given: DownloadInput) -> DownloadOutput:
        """Put a stored file or directory on this disk."""
        ref = given.ref or FileReference()
        if given.storage_path and given.storage_path != ref.storage_path:
            key = keys.checked_key(given.storage_path)
            keys.check_readable(key, self.scope)
            ref = await self._fetcher.look_up(key)
        target = Path(os.path.abspath(given.local_path)) if given.local_path else None  # noqa: ASYNC240, PTH100 - no I/O
        if target is not None and given.skip_if_exists:
            promised = ref.sha256 or keys.digest_in(ref.storage_path or "")
            if promised is not None and await self._digest_at(target) == promised:
                there = ref.model_copy(update={"local_path": str(target)})
                return DownloadOutput(ref=there, synced=False, reason="skipped:hash_match")
        return DownloadOutput(ref=await self.fetch(ref, target), synced=True, reason="downloaded")

    async def read(self, ref: FileReference | str, start: int = 0, length: int | None = None) -> bytes:
        """A range of a stored file, in memory. It isn't checked against the digest, which is of the
        whole file."""
        if start < 0 or (length is not None and length < 0):
            raise MisuseError(f"read() takes a start and a length of 0 or more, not {start} and {length}")
        key = self._readable(ref)
        wanted = max((await self._info(key)).size - start, 0) if length is None else length
        return await retry_request(lambda: self.store.get(key, start, wanted), self._tick) if wanted else b""

    async def stream(self, ref: FileReference | str, start: int = 0) -> AsyncIterator[bytes]:
        """A stored file in pieces, without a copy on the disk. From its start, it is checked
        against its digest: a file that was altered raises ObjectChangedError where its end would
        be."""
        key = self._readable(ref)
        info = await self._info(key)
        promised = (ref.sha256 if isinstance(ref, FileReference) else None) or keys.digest_in(key)
        hasher = hashlib.sha256()
        async for chunk in read_ahead(self.store, key, start, info.size, self._tick):
            hasher.update(chunk)
            yield chunk
        if start == 0 and promised not in (None, hasher.hexdigest()):
            raise ObjectChangedError(
                f"object {key!r} of {self.store.name} isn't what its reference says: SHA-256 {promised} expected, "
                f"{hasher.hexdigest()} found"
            )

    @asynccontextmanager
    async def open_writer(
        self, storage_path: str, *, content_type: str | None = None, tier: StorageTier = StorageTier.PERSISTENT
    ) -> AsyncIterator[FileWriter]:
        """Write an object under a key of the app's own, piece by piece and without a copy on the
        disk. It is there when the block has ended without an error, and not before; then
        `writer.ref` refers to it. Up to 300 GB."""
        key = keys.checked_key(storage_path)
        keys.check_writable(key)
        writer = FileWriter(self.store, key, content_type or type_of(key), tier, self._tick)
        try:
            yield writer
            await writer.finish()
        finally:
            await writer.abort()

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """What is stored below a prefix, or in all, as far as this run may read it."""
        below = f"{keys.checked_key(prefix, 'prefix')}/" if prefix.strip("/") else ""
        async for info in self.store.list(below):
            if _is_readable(info.key, self.scope):
                yield info

    async def delete(self, storage_path: str) -> None:
        """Delete an object of the app's own. What a tier keeps goes by itself."""
        key = keys.checked_key(storage_path)
        keys.check_writable(key)
        await self.store.delete([key])

    async def clear_run(self, keep: Iterable[str]) -> Cleared:
        """Delete this run's transient files but for those that `keep` names, and the files of
        directories among them. To be called when none of its tasks works any more."""
        prefix = self.scope.prefix(StorageTier.TRANSIENT)
        kept = {key for key in keep if key.startswith(prefix)}
        for members in await side_by_side(self._fetcher.members, sorted(kept), SMALL_AT_ONCE):
            kept.update(members)
        return await retry_request(lambda: self.store.clear(prefix, kept), self._tick)

    async def _change_tier(self, ref: FileReference, tier: StorageTier) -> UploadOutput:
        """Copy a stored file or directory to another tier, inside the store."""
        source = self._readable(ref)
        if not keys.is_content_key(source):
            local = await self.fetch(ref)
            moved = local.model_copy(update={"tier": tier, "is_durable": False})
            saved = await self._saver.save(moved, self.scope.prefix(tier))
            return UploadOutput(ref=saved.ref, synced=saved.sent, reason="uploaded")
        prefix = self.scope.prefix(tier)
        target = f"{prefix}{source.rpartition('/')[2]}"
        changed = ref.model_copy(update={"storage_path": target, "tier": tier, "local_path": None})
        if target == source or await self._fetcher.info(target) is not None:
            return UploadOutput(ref=changed, synced=False, reason="skipped:hash_match")

        async def copy(key: str) -> None:
            await retry_request(lambda: self.store.copy(key, f"{prefix}{key.rpartition('/')[2]}"), self._tick)

        await side_by_side(copy, sorted(set(await self._fetcher.members(source))), SMALL_AT_ONCE)
        # The list of a directory last, as when it was first stored.
        await copy(source)
        return UploadOutput(ref=changed, synced=True, reason="uploaded")

    @property
    def _saver(self) -> Saver:
        return Saver(self.store, self._tick)

    @property
    def _fetcher(self) -> Fetcher:
        return Fetcher(self.store, self._tick)

    async def _info(self, key: str) -> ObjectInfo:
        info = await self._fetcher.info(key)
        if info is None:
            raise missing(self.store, key)
        return info

    async def _digest_at(self, place: Path) -> str | None:
        try:
            return (await digest_file(place, self._tick)).sha256
        except (FileNotFoundError, IsADirectoryError):
            return None

    def _readable(self, ref: FileReference | str) -> str:
        key = keys.checked_key((ref.storage_path or "") if isinstance(ref, FileReference) else ref)
        keys.check_readable(key, self.scope)
        return key

    def _own_place(self, ref: FileReference, key: str) -> Path:
        """A place on this disk for what a reference refers to. Another one for each name and each
        content."""
        name = directory.checked_name(ref.name or key.rpartition("/")[2])
        if self._scratch is None:
            self._scratch = Path(
                tempfile.mkdtemp(prefix="apprun-files-") if self._place is None else self._place.scratch
            )
        return self._scratch / sha256_of(key.encode())[:16] / name


def _check_not_empty(place: Path) -> None:
    if place.is_dir() and not directory.local_files(place):
        raise UnsafeFileError(f"{place} has no files in it, and raise_on_empty is set")


def _is_readable(key: str, scope: Scope) -> bool:
    try:
        keys.check_readable(key, scope)
    except UnsafeReferenceError:
        return False
    return True
