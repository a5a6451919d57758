"""Files that only their owner may read: ledgers hold inputs and outputs, logs what tasks print.

Modes are set by `chmod` after the fact as well, so that no umask widens or narrows them. A file
system that knows no modes keeps what it has.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDER: Final = 0o700
FILE: Final = 0o600
_OTHERS: Final = 0o077


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner may read, and create it if it is missing. Returns a
    descriptor, like `os.open`."""
    file = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, FILE)
    status = os.fstat(file)
    if stat.S_IMODE(status.st_mode) != FILE and status.st_uid == os.geteuid():
        with suppress(OSError):
            # guard: ledger-file-mode - a wide umask must not open the ledger to other users of the
            # machine
            os.fchmod(file, FILE)
    return file


def ensure_file(path: Path) -> None:
    """Create the file if it is missing. SQLite gives a database's mode to the files that it creates
    beside it."""
    os.close(open_private(path, os.O_RDWR))


def ensure_folder(path: Path) -> None:
    """Create the folder if it is missing, for its owner alone. Missing parents get the usual mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(FOLDER)
    except FileExistsError:
        if path.is_dir():
            return
        raise
    with suppress(OSError):
        path.chmod(FOLDER)


def restrict_folder(path: Path) -> None:
    """Remove everybody else's rights on a folder of this user's and all that is in it. Returns at
    once if that was done before."""
    try:
        status = path.lstat()
    except OSError:
        return
    if not stat.S_ISDIR(status.st_mode) or not _is_open_to_others(status):
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            _close_to_others(Path(folder, name))
    # Last: a crash before leaves it as a sign that there is something to do.
    _close_to_others(path)


def _is_open_to_others(status: os.stat_result) -> bool:
    return bool(status.st_mode & _OTHERS) and status.st_uid == os.geteuid()


def _close_to_others(path: Path) -> None:
    with suppress(OSError):
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode) and _is_open_to_others(status):
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def restrict_file(path: Path) -> None:
    """Remove everybody else's rights on a file, if it exists."""
    _close_to_others(path)
