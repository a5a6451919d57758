"""A work queue of keys. A key is queued at most once, and never handed to two workers at a time.

The cache puts the key of a run or App whenever its next plan may differ. Not thread-safe: one event
loop owns it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from apprun_operator.observe.records import Key

MIN_DELAY: Final = 0.001
"""Seconds. A due time that has just passed must not make a worker spin."""


class KeyQueue:
    """First in, first out, so that no run starves another."""

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
        """Queue `key`. If a worker has it, it is queued again when the worker is done."""
        if key in self._taken:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._available.set()

    def put_after(self, key: Key, seconds: float) -> None:
        """Queue `key` in `seconds`.

        Of several timers the earliest is kept: each plan sets the next one.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, MIN_DELAY)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    async def get(self) -> Key:
        """Wait for the next key. It belongs to the caller until `done`."""
        while not self._ready:
            self._available.clear()
            await self._available.wait()
        key = self._ready.popleft()
        self._queued.discard(key)
        self._taken.add(key)
        return key

    def done(self, key: Key) -> None:
        """Return `key`. If it was put meanwhile, it is queued again."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.put(key)

    def close(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.put(key)
