"""A folder as a store: a laptop's, or a volume that all nodes see. Needs nothing but the standard library.

An object appears under its key complete or not at all: it is written beside it, synced, and renamed. What a killed
process leaves has a name that no key has, and goes with its run's prefix.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import uuid
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from application_sdk.storage.errors import ObjectMissingError, StoreRefusedError, StoreUnavailableError
from application_sdk.storage.store import Cleared, ObjectInfo

P = ParamSpec("P")
R = TypeVar("R")

_PARTIAL: Final = ".partial-"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_LIST_BATCH: Final = 1000


class FolderStore:
    """Implements `Store` in a folder, which is made when it is first written to."""

    keeps_content_type = False

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        return f"file://{self._root}"

    async def head(self, key: str) -> ObjectInfo | None:
        return await self._call(self._head, key)

    async def put(self, key: str, chunks: AsyncIterator[bytes], size: int, content_type: str) -> None:
        partial = await self._call(self._begin, key)
        try:
            with partial.open("wb") as file:
                async for chunk in chunks:
                    await self._call(file.write, chunk)
                await self._call(_sync, file.fileno())
            await self._call(os.replace, partial, self._place(key))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

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
        with self._errors():
            return await asyncio.to_thread(function, *args, **kwargs)

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

    def _place(self, key: str) -> Path:
        return self._root / key

    def _head(self, key: str) -> ObjectInfo | None:
        try:
            found = self._place(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return ObjectInfo(key, found.st_size, None, found.st_mtime)

    def _begin(self, key: str) -> Path:
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place.with_name(f"{_PARTIAL}{uuid.uuid4().hex}")

    def _put_bytes(self, key: str, content: bytes) -> None:
        partial = self._begin(key)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                _sync(file.fileno())
            partial.replace(self._place(key))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _get(self, key: str, start: int, length: int) -> bytes:
        try:
            with self._place(key).open("rb", buffering=0) as file:
                content = os.pread(file.fileno(), length, start)
                while 0 < len(content) < length and (more := os.pread(file.fileno(), length - len(content),
                                                                      start + len(content))):  # fmt: skip
                    content += more
                return content
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissingError(f"the store {self.name} has no object {key!r}: was it deleted?") from error

    def _copy(self, source: str, target: str) -> None:
        partial = self._begin(target)
        try:
            shutil.copyfile(self._place(source), partial)
            partial.replace(self._place(target))
        except FileNotFoundError as error:
            raise ObjectMissingError(f"the store {self.name} has no object {source!r}: was it deleted?") from error
        finally:
            partial.unlink(missing_ok=True)

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        top = self._root / prefix if prefix else self._root
        for folder, _, files in os.walk(top):
            for file in files:
                if file.startswith(_PARTIAL):
                    continue
                place = Path(folder, file)
                try:
                    found = place.stat()
                except FileNotFoundError:
                    continue  # Deleted meanwhile.
                yield ObjectInfo(place.relative_to(self._root).as_posix(), found.st_size, None, found.st_mtime)

    def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._place(key).unlink(missing_ok=True)
        for folder in {self._place(key).parent for key in keys}:
            self._remove_empty(folder)

    def _clear(self, prefix: str, keep: Container[str]) -> Cleared:
        count = size = 0
        for folder, _, files in os.walk(self._root / prefix, topdown=False):
            for file in files:
                place = Path(folder, file)
                if place.relative_to(self._root).as_posix() in keep:
                    continue
                size += place.stat().st_size
                place.unlink(missing_ok=True)
                count += not file.startswith(_PARTIAL)
            self._remove_empty(Path(folder))
        return Cleared(count, size)

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder, and those around it, as far as there is nothing in them."""
        while folder != self._root and folder.is_relative_to(self._root):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _batch(listed: Iterator[ObjectInfo]) -> list[ObjectInfo]:
    batch: list[ObjectInfo] = []
    for info in listed:
        batch.append(info)
        if len(batch) >= _LIST_BATCH:
            break
    return batch
