"""A folder as a store: a laptop's, or a volume that all nodes see. Needs nothing but the standard
library.

An object appears under its key complete or not at all: it is written beside it, synced, and
renamed. What a killed process leaves has a name that no key has, and goes with its run's prefix. No
link is followed on the way to one (`rooted`), since others may write to the same volume.
"""

from __future__ import annotations

import asyncio
import errno
import os
import uuid
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from application_sdk.storage.errors import (
    ObjectMissingError,
    StoreRefusedError,
    StoreUnavailableError,
    UnsafeReferenceError,
)
from application_sdk.storage.rooted import Member, RootedFolder, parts_of
from application_sdk.storage.store import Cleared, ObjectInfo

P = ParamSpec("P")
R = TypeVar("R")

_PARTIAL: Final = ".partial-"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
LONGEST_KEY: Final = 1024
"""No key is longer (`keys.checked_key`), so nothing is looked for below folders that are nested
deeper."""
_LIST_BATCH: Final = 1000
_COPIED_AT_ONCE: Final = 1024 * 1024
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderStore:
    """Implements `Store` in a folder, which is made when it is first written to."""

    keeps_content_type = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = RootedFolder(root)

    @property
    def name(self) -> str:
        return f"file://{self._root}"

    async def head(self, key: str) -> ObjectInfo | None:
        return await self._call(self._head, key)

    async def put(self, key: str, chunks: AsyncIterator[bytes], size: int, content_type: str) -> None:
        partial = self._partial(key)
        try:
            descriptor = await self._call(partial.__enter__)
            async for chunk in chunks:
                await self._call(_write, descriptor, chunk)
        except BaseException as error:
            # Which it raises again, once the file is gone.
            await asyncio.to_thread(partial.__exit__, type(error), error, error.__traceback__)
            raise
        await self._call(partial.__exit__, None, None, None)

    async def put_bytes(self, key: str, content: bytes, content_type: str) -> None:
        await self._call(self._put_bytes, key, content)

    async def get(self, key: str, start: int, length: int) -> bytes:
        return await self._call(self._get, key, start, length)

    async def copy(self, source: str, target: str) -> None:
        await self._call(self._copy, source, target)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        listed = self._list(prefix)
        while batch := await self._call(_batch, listed):
            for info in batch:
                yield info

    async def delete(self, keys: Iterable[str]) -> None:
        await self._call(self._delete, tuple(keys))

    async def clear(self, prefix: str, keep: Container[str]) -> Cleared:
        return await self._call(self._clear, prefix, keep)

    # In threads

    async def _call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function returns. A cancellation is raised once the function has ended: until
        then its thread uses the file, which whoever cleans up would close under it, or leave
        behind."""
        working = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
        with self._errors():
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                await asyncio.wait({working})
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = error.filename or self._root
            if error.errno in _FULL:
                raise StoreUnavailableError(f"the store {self.name} is full: {error.strerror} ({place})") from error
            if error.errno in _REFUSED:
                raise StoreRefusedError(
                    f"the store {self.name} can't be used by user {os.getuid()}: {error.strerror} ({place})"
                ) from error
            raise StoreUnavailableError(f"the store {self.name} can't be used: {error.strerror} ({place})") from error

    def _head(self, key: str) -> ObjectInfo | None:
        try:
            found = self._folder.status(parts_of(key))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return ObjectInfo(key, found.st_size, None, found.st_mtime)

    @contextmanager
    def _partial(self, key: str) -> Iterator[int]:
        """A new file, which becomes the object of this key when all went well."""
        *folders, name = parts_of(key)
        with self._folder.folder(folders, make=True) as folder:
            partial = f"{_PARTIAL}{uuid.uuid4().hex}"
            descriptor = os.open(partial, _NEW, self._folder.mode(0o666), dir_fd=folder)
            try:
                try:
                    yield descriptor
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                # Takes the place of whatever has the name, a link included, and follows nothing.
                os.replace(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(partial, dir_fd=folder)
                raise

    def _put_bytes(self, key: str, content: bytes) -> None:
        with self._partial(key) as descriptor:
            _write(descriptor, content)

    def _get(self, key: str, start: int, length: int) -> bytes:
        try:
            with self._folder.file(parts_of(key)) as file:
                content = os.pread(file, length, start)
                while 0 < len(content) < length and (more := os.pread(file, length - len(content),
                                                                      start + len(content))):  # fmt: skip
                    content += more
                return content
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissingError(f"the store {self.name} has no object {key!r}: was it deleted?") from error

    def _copy(self, source: str, target: str) -> None:
        try:
            with self._folder.file(parts_of(source)) as file, self._partial(target) as descriptor:
                while chunk := os.read(file, _COPIED_AT_ONCE):
                    _write(descriptor, chunk)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissingError(f"the store {self.name} has no object {source!r}: was it deleted?") from error

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        for parts, members in self._walk(parts_of(prefix)):
            for member in members:
                if member.is_file and not member.name.startswith(_PARTIAL):
                    key = "/".join((*parts, member.name))
                    yield ObjectInfo(key, member.status.st_size, None, member.status.st_mtime)

    def _walk(self, top: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Sequence[Member]]]:
        """Each folder from `top` on, before those in it. One at a time is open, however deep they
        are."""
        todo = [top]
        while todo:
            parts = todo.pop()
            try:
                members = self._folder.members(parts)
            except (UnsafeReferenceError, NotADirectoryError):
                if parts == top:
                    raise
                continue  # It was a folder when its name was read.
            inner = [(*parts, member.name) for member in members if member.is_folder]
            todo += [folder for folder in inner if len("/".join(folder)) <= LONGEST_KEY]
            yield parts, members

    def _delete(self, keys: Sequence[str]) -> None:
        places = [parts_of(key) for key in keys]
        for place in places:
            self._unlink(place)
        for parent in {place[:-1] for place in places}:
            self._remove_empty(parent)

    def _unlink(self, place: tuple[str, ...]) -> None:
        with suppress(FileNotFoundError, NotADirectoryError), self._folder.folder(place[:-1]) as folder:
            os.unlink(place[-1], dir_fd=folder)

    def _clear(self, prefix: str, keep: Container[str]) -> Cleared:
        count = size = 0
        top = parts_of(prefix)
        folders: list[tuple[str, ...]] = []
        for parts, members in self._walk(top):
            folders.append(parts)
            for member in members:
                place = (*parts, member.name)
                if member.is_folder or "/".join(place) in keep:
                    continue
                # A link goes itself, not what it leads to.
                self._unlink(place)
                if member.is_file:
                    size += member.status.st_size
                    count += not member.name.startswith(_PARTIAL)
        for parts in reversed(folders):
            self._remove(parts)
        self._remove_empty(top)
        return Cleared(count, size)

    def _remove_empty(self, parts: tuple[str, ...]) -> None:
        """Remove a folder, and those around it, as far as there is nothing in them."""
        while parts and self._remove(parts):
            parts = parts[:-1]

    def _remove(self, parts: tuple[str, ...]) -> bool:
        """Remove a folder if it is empty. Whether it is gone."""
        if not parts:
            return False
        try:
            with self._folder.folder(parts[:-1]) as folder:
                os.rmdir(parts[-1], dir_fd=folder)
        except FileNotFoundError:
            return True
        except (OSError, UnsafeReferenceError):
            return False
        return True


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _batch(listed: Iterator[ObjectInfo]) -> list[ObjectInfo]:
    batch: list[ObjectInfo] = []
    for info in listed:
        batch.append(info)
        if len(batch) >= _LIST_BATCH:
            break
    return batch
