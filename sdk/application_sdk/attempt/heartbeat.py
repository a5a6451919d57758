"""Heartbeats of an attempt, and the watchdog that ends a process which gives none.

`attempt.attempt` arms it, `attempt.task_context` beats. A beat costs no write anywhere: only the process itself
has to know, and with it the kubelet or the parent that sees it end.
"""

from __future__ import annotations

import faulthandler
import time
from typing import Final, Protocol

_REARM_FRACTION: Final = 0.05


class Watchdog(Protocol):
    """Expects `beat` at least every so often, until `stop`."""

    def beat(self) -> None: ...

    def stop(self) -> None: ...


class NoWatchdog:
    """Expects nothing."""

    def beat(self) -> None:
        pass

    def stop(self) -> None:
        pass


class _Tracebacks:
    """Where the watchdog of this process writes where it found all threads: a file descriptor."""

    file = 2


def write_tracebacks_to(file: int) -> None:
    """Have the watchdog of this process write to a file descriptor, in place of the standard error."""
    _Tracebacks.file = file


class ProcessWatchdog:
    """Ends this process with exit code 1, all threads' tracebacks on stderr, when there was no beat for `seconds`.

    It needs neither the event loop nor the GIL, so it also sees a body stuck in C code. One per process: the timer
    underneath is the interpreter's only one. Safe to beat from any thread.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._armed_until_rearm = 0.0
        self.beat()

    def beat(self) -> None:
        # Rearming starts a thread, so a loop that beats at each record must not do it each time.
        now = time.monotonic()
        if now >= self._armed_until_rearm:
            self._armed_until_rearm = now + self._seconds * _REARM_FRACTION
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=_Tracebacks.file)

    def stop(self) -> None:
        faulthandler.cancel_dump_traceback_later()
