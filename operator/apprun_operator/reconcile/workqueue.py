"""A queue of keys: each at most once, never handed to two workers at a time, now or at a later time.

Everything that learns something new about a run puts its key; workers take it. Not thread-safe: one event loop owns it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from apprun_operator.observe.records import Key

MIN_DELAY: Final = 0.001
"""Seconds: a moment that has just passed must not make a worker spin."""


class KeyQueue:
    """First come, first served, so that no run starves another."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._taken: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._available = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, key: Key) -> None:
        """Have `key` taken soon; if it is being worked on, once more when that is done."""
        if key in self._taken:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._available.set()

    def put_after(self, key: Key, seconds: float) -> None:
        """Have `key` taken in `seconds`. Only the earliest of several such wishes is kept: the pass renews them."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, MIN_DELAY)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    async def get(self) -> Key:
        """The next key. It is the caller's until `done`."""
        while not self._ready:
            self._available.clear()
            await self._available.wait()
        key = self._ready.popleft()
        self._queued.discard(key)
        self._taken.add(key)
        return key

    def done(self, key: Key) -> None:
        """Give `key` back. What was put meanwhile is taken again."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.put(key)

    def close(self) -> None:
        """Forget all that was to come later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.put(key)
