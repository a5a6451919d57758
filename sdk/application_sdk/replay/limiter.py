"""How many calls of one task a run has at once, and how many it makes in a time: `@task(limit=…, rate="10/s")`.

A waiting call is made later, in the order in which the calls came. What it waits for is another call's completion or a
durable timer, so a replay makes the same calls at the same places. One timer serves all calls that become due with it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from application_sdk.errors import AppDefinitionError

if TYPE_CHECKING:
    from application_sdk.execution.definition import TaskSettings

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE: Final = re.compile(r"(?P<calls>[1-9]\d{0,8})/(?P<count>[1-9]\d{0,8})?(?P<unit>[smhd])")
_TOLERANCE: Final = 0.001
"""Timers count in milliseconds."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls within so many seconds."""

    calls: int
    seconds: float

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Read `"10/s"`, `"600/m"`, `"1/h"` or `"5/10s"`. Raises ValueError."""
        match = _RATE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'rate={text!r} must be calls per time, such as "10/s", "600/m", "1000/h" or "5/10s"')
        return cls(int(match["calls"]), int(match["count"] or 1) * _UNITS[match["unit"]])


def with_limits(settings: TaskSettings, limits: Mapping[str, Any], title: str) -> TaskSettings:
    """`settings` with `limit` and `rate`. Raises AppDefinitionError, which says by `title` whose they are."""
    limit, rate = limits.get("limit"), limits.get("rate")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise AppDefinitionError(f"{title}: limit={limit!r} must be a whole number of calls from 1 up")
    try:
        if rate is not None:
            Rate.parse(rate)
    except ValueError as error:
        raise AppDefinitionError(f"{title}: {error}") from error
    return replace(settings, limit=limit, rate=rate)


class Limiter:
    """The calls of one task in one execution of a route."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int | None, rate: Rate | None) -> None:
        self._loop = loop
        self._limit = limit
        self._rate = rate
        self._running = 0
        self._call_times: deque[float] = deque(maxlen=rate.calls if rate is not None else 0)
        """When the last calls were made, as many as the rate allows at once."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Wait until a call may be made, and count it until it is over."""
        await self._enter()
        try:
            yield
        finally:
            self._running -= 1
            self._admit_waiting()

    async def _enter(self) -> None:
        if not self._waiting and self._slot_free() and self._due_in() <= 0:
            self._count()
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        self._admit_waiting()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._running -= 1  # Its turn had come, but nothing was called.
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self._admit_waiting()
            raise

    def _count(self) -> None:
        self._running += 1
        self._call_times.append(self._loop.time())

    def _slot_free(self) -> bool:
        return self._limit is None or self._running < self._limit

    def _due_in(self) -> float:
        """Seconds until the rate allows another call."""
        if self._rate is None or len(self._call_times) < self._rate.calls:
            return 0.0
        left = self._call_times[0] + self._rate.seconds - self._loop.time()
        return left if left >= _TOLERANCE else 0.0

    def _admit_waiting(self) -> None:
        """Admit the waiting calls that the limits allow, and start the timer that the next one waits for."""
        while self._waiting and self._slot_free() and self._due_in() <= 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._count()
                waiter.set_result(None)
        if self._timer is not None and not self._waiting:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._waiting and self._slot_free():
            self._timer = self._loop.call_later(self._due_in(), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._admit_waiting()
