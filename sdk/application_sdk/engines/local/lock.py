"""One executor per run: a lock that the kernel takes back when its holder dies, however it dies.

Two executors would both run what the ledger doesn't hold yet. The lock's file is never deleted: a
lock on a deleted file would hold nobody off.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from application_sdk.engines.local.errors import RunBusyError
from application_sdk.engines.local.private import open_private

_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.02


class RunLock:
    """Held from construction to `release`, or to the end of the process. Not inherited by child
    processes."""

    def __init__(self, run: str, path: Path) -> None:
        """Raises RunBusyError, which names the process that holds it."""
        self._file = open_private(path, os.O_RDWR)
        for tries_left in reversed(range(_TRIES)):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if tries_left:
                    # `holder` may be probing the lock, which takes no time.
                    time.sleep(_PAUSE_SECONDS)
                    continue
                process = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
                self.release()
                raise RunBusyError(run, process) from None
        # For people only: the lock itself is the kernel's. It stays when the holder dies, so it is
        # cleared first.
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have the run."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def holder(path: Path) -> int | None:
    """The process that executes the run with this lock file, or None when nobody does."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(file, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(file)
    return None
