"""A folder whose contents are reached without following a link, whoever else writes to it
meanwhile.

A volume that several pods share may hold links that one of them has planted: to a file of whoever
follows it, or to a folder that is written to in its place. So each part of a path is opened by
itself, in the folder that was opened before it, and never as a link: between a look at a path and
its use it could be exchanged. Only the root itself may be a link, since an operator chooses it.

FIFOs, sockets and devices are neither read nor written, and waiting for one of them is impossible.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from application_sdk.storage.errors import UnsafeReferenceError

_FOLDER: Final = os.O_DIRECTORY | os.O_CLOEXEC
_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER
"""To go through a folder, which needs no right to list it where the system tells the two apart."""
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINK: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
"""What systems answer when a link would have to be followed."""


class Member(NamedTuple):
    """What stands in a folder under a name."""

    name: str
    status: os.stat_result

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class RootedFolder:
    """Opens what lies below a root. Errors are OSErrors, and UnsafeReferenceError where something
    is no plain file or folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """A folder as an open descriptor. `make`: with all that is missing on the way, the root
        included."""
        if make:
            self._root.mkdir(parents=True, exist_ok=True)
        folder = os.open(self._root, _PASS)
        try:
            for depth in range(1, len(parts) + 1):
                inner = self._enter(folder, parts[:depth], make=make)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def mode(self, usual: int) -> int:
        """How something new is made: below a root that only its owner may enter, for its owner
        alone."""
        return usual & (0o777 if self._root.stat().st_mode & 0o077 else 0o700)

    @contextmanager
    def file(self, parts: Sequence[str]) -> Iterator[int]:
        """A file, opened to be read."""
        with self.folder(parts[:-1]) as folder:
            # What isn't a file isn't opened in the first place: to open a device can have effects.
            self._checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), parts)
            descriptor = self._open_file(folder, parts)
        try:
            self._checked(os.fstat(descriptor), parts)
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self, parts: Sequence[str]) -> os.stat_result:
        """What is known of a file."""
        with self.folder(parts[:-1]) as folder:
            found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        self._checked(found, parts)
        return found

    def members(self, parts: Sequence[str]) -> list[Member]:
        """What stands in a folder; nothing when it isn't there."""
        try:
            with self.folder(parts) as folder:
                listed = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=folder)
                try:
                    with os.scandir(listed) as entries:
                        found = [(entry.name, _status(entry)) for entry in entries]
                finally:
                    os.close(listed)
        except FileNotFoundError:
            return []
        return [Member(name, status) for name, status in found if status is not None]

    def _enter(self, folder: int, parts: Sequence[str], *, make: bool) -> int:
        name = _plain(parts[-1])
        try:
            # guard: no-symlink-to-object - a link on the way would lead out of the store
            return os.open(name, os.O_NOFOLLOW | _PASS, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as error:
            if error.errno in _LINK and _is_link(name, folder):
                raise self._unsafe(parts, "a link") from error
            raise
        try:
            os.mkdir(name, self.mode(0o777), dir_fd=folder)
        except FileExistsError:
            pass  # Somebody else was quicker.
        return self._enter(folder, parts, make=False)

    def _open_file(self, folder: int, parts: Sequence[str]) -> int:
        name = _plain(parts[-1])
        try:
            return os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in _LINK and _is_link(name, folder):
                raise self._unsafe(parts, "a link") from error
            raise

    def _checked(self, status: os.stat_result, parts: Sequence[str]) -> None:
        """Raises UnsafeReferenceError for what is neither a file nor a folder, IsADirectoryError
        for a folder."""
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), "/".join(parts))
        if stat.S_ISLNK(mode):
            raise self._unsafe(parts, "a link")
        # guard: plain-files-only - opening a FIFO or a device blocks, or reads what isn't data
        if not stat.S_ISREG(mode):
            raise self._unsafe(parts, "a FIFO, a socket or a device")

    def _unsafe(self, parts: Sequence[str], what: str) -> UnsafeReferenceError:
        return UnsafeReferenceError(
            f"{self._root.joinpath(*parts)} is {what}, which nothing of a store is: it isn't followed or read. "
            "Find out who put it there, and remove it"
        )


def parts_of(key: str) -> tuple[str, ...]:
    """The names that a key or a prefix consists of. Raises UnsafeReferenceError for those that lead
    elsewhere."""
    return tuple(_plain(part) for part in key.split("/") if part)


def _plain(part: str) -> str:
    if part in ("", ".", "..") or "/" in part or "\x00" in part:
        raise UnsafeReferenceError(f"{part[:200]!r} is no name in a store")
    return part


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return True  # It was one a moment ago.


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # Deleted meanwhile.
