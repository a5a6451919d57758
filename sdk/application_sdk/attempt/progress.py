"""When an attempt last got on, and what vouches for a silence: the measure of the stall watchdog.

`attempt.task_context` marks progress, `attempt.attempt` asks how long it may last. A heartbeat is something
else: an attempt that waits for ever on a dead connection gives those by itself and makes no progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_FOR_EVER: Final = float("inf")

_declared: ContextVar[bool] = ContextVar("application_sdk.declared_hold", default=False)
"""Whether the code that asks runs inside of a hold that its author has declared."""


class ProgressWatch:
    """Of one attempt. Marks and holds may come from any thread. Times in seconds on `clock`."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.monotonic
        """Set by `begin`, before anybody else asks."""
        self.last_sign = "its start"
        """What the latest progress was."""
        self._last = self.clock()
        self._holds: dict[object, float] = {}

    def begin(self, clock: Callable[[], float]) -> None:
        """The body starts now."""
        self.clock = clock
        self._last = clock()

    def mark(self, sign: str) -> None:
        """One unit of work is done."""
        self.last_sign = sign
        self._last = self.clock()

    def silence(self) -> float:
        """How long ago the latest progress was."""
        return self.clock() - self._last

    def due(self, allowance: float) -> float:
        """When a silence of more than `allowance` begins, as a time of the clock. Infinite during an unlimited hold."""
        return max([self._last + allowance, *list(self._holds.values())])

    @contextmanager
    def hold(self, label: str, seconds: float | None) -> Iterator[None]:
        """Vouch for the silence of what is inside, for so long at most. Its end is progress."""
        declared = _declared.set(True)
        try:
            with self._holding(seconds):
                yield
        finally:
            _declared.reset(declared)
            self.mark(label)

    @contextmanager
    def hold_call(self, label: str) -> Iterator[None]:
        """Vouch for a blocking call, without a limit: it has no way to show how it gets on. Inside of a declared hold
        that one counts instead."""
        with self._holding(0.0 if _declared.get() else None):
            yield
        self.mark(label)

    @contextmanager
    def _holding(self, seconds: float | None) -> Iterator[None]:
        token = object()
        self._holds[token] = _FOR_EVER if seconds is None else self.clock() + seconds
        try:
            yield
        finally:
            del self._holds[token]
