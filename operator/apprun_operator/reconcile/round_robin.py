"""A semaphore that serves runs in turn: a run with thousands of requests delays another by one at
most.

One event loop owns it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apprun_operator.observe.records import Key


class RoundRobin:
    """`async with round_robin.slot(run)` waits for one of `slots` and holds it."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: dict[Key, deque[asyncio.Future[None]]] = {}
        """In the order of their next turn."""

    @asynccontextmanager
    async def slot(self, run: Key) -> AsyncIterator[None]:
        """Hold a slot for one request of `run`."""
        await self._acquire(run)
        try:
            yield
        finally:
            self._free += 1
            self._wake_next()

    async def _acquire(self, run: Key) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The slot was handed over in the very turn of the cancellation: pass it on, or it
                # is lost.
                self._free += 1
                self._wake_next()
            raise

    def _wake_next(self) -> None:
        while self._free and self._waiting:
            run, waiters = next(iter(self._waiting.items()))
            # A run that has more to do goes to the end of the line.
            del self._waiting[run]
            waiter = waiters.popleft()
            if waiters:
                self._waiting[run] = waiters
            if not waiter.cancelled():
                self._free -= 1
                waiter.set_result(None)
