"""An event loop whose clock jumps: when nothing is ready, it goes straight to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")

EPOCH = 1_800_000_000.0
"""The time of day when a virtual loop starts."""


class Deadlock(AssertionError):
    """Nothing is ready and no timer is set: the program under test would wait forever."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never blocks: the time that it should have waited is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("nothing is ready, and no timer will ever be")
        self.now += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Use `run`; `wall` is its time of day."""

    current: ClassVar[VirtualLoop | None] = None
    """The one of this process, also for code that has a loop of its own."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self.drift = 0.0
        """How far the time of day is from where the loop's own clock would have it: people and NTP set clocks."""
        super().__init__(self._jumping)
        VirtualLoop.current = self

    def time(self) -> float:
        return self._jumping.now

    def wall(self) -> float:
        return EPOCH + self._jumping.now + self.drift


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def wall() -> float:
    """The virtual time of day, inside `run`."""
    loop = VirtualLoop.current
    assert loop is not None
    return loop.wall()
