"""A number of places for requests, given to runs in turn: the one with thousands of them delays another by one at most.
One event loop owns it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apprun_operator.observe.records import Key


class RoundRobin:
    """`async with slots.slot(run)` waits for a place and holds it."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: dict[Key, deque[asyncio.Future[None]]] = {}
        """In the order of their next turn."""

    @asynccontextmanager
    async def slot(self, run: Key) -> AsyncIterator[None]:
        await self._enter(run)
        try:
            yield
        finally:
            self._free += 1
            self._call_next()

    async def _enter(self, run: Key) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given in the very moment of the cancellation.
                self._free += 1
                self._call_next()
            raise

    def _call_next(self) -> None:
        while self._free and self._waiting:
            run, queue = next(iter(self._waiting.items()))
            del self._waiting[run]
            turn = queue.popleft()
            if queue:
                self._waiting[run] = queue
            if not turn.cancelled():
                self._free -= 1
                turn.set_result(None)
