"""The heartbeat's watchdog where several attempts share a process, and so its one timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.attempt.heartbeat import ProcessWatchdog

if TYPE_CHECKING:
    from application_sdk.attempt.heartbeat import Watchdog


class SharedWatchdog:
    """The watchdog of a process in which several attempts run: the shortest of their limits holds for all of them.

    They share an event loop, so one that blocks it keeps all of them from giving heartbeats of life.
    """

    def __init__(self) -> None:
        self._limits: dict[int, float] = {}
        self._count = 0
        self._process: ProcessWatchdog | None = None

    def watch(self, seconds: float) -> Watchdog:
        """The watchdog of a further attempt."""
        self._count += 1
        self._set(self._count, seconds)
        return _SharedLimit(self, self._count)

    def beat(self) -> None:
        if self._process is not None:
            self._process.beat()

    def stop(self, number: int) -> None:
        self._set(number, None)

    def _set(self, number: int, seconds: float | None) -> None:
        if seconds is None:
            self._limits.pop(number, None)
        else:
            self._limits[number] = seconds
        if self._process is not None:
            self._process.stop()
        self._process = ProcessWatchdog(min(self._limits.values())) if self._limits else None


class _SharedLimit:
    """One attempt's share of it."""

    def __init__(self, shared: SharedWatchdog, number: int) -> None:
        self._shared = shared
        self._number = number

    def beat(self) -> None:
        self._shared.beat()

    def stop(self) -> None:
        self._shared.stop(self._number)
