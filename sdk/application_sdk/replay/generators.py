"""The async generators that a route has begun, and which of them the garbage collector has found.

One that loses its last reference is closed there and then, at the same place in every execution. One in a reference
cycle is found whenever the collector runs, which no replay repeats: it is kept, and closed where the route says.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TypeAlias

Generator: TypeAlias = AsyncGenerator[object, object]


_MANY = 1000


class Generators:
    """Those of one event loop."""

    def __init__(self) -> None:
        self._begun: weakref.WeakSet[Generator] = weakref.WeakSet()
        self._numbers: dict[int, int] = {}
        """By id: when the collector tells of a generator, no weak reference knows it any more."""
        self._count = 0
        self._kept: list[tuple[int, Generator]] = []
        self._collecting = False

    def begin(self, generator: Generator) -> None:
        """A generator is iterated for the first time."""
        self._count += 1
        self._begun.add(generator)
        self._numbers[id(generator)] = self._count
        if len(self._numbers) > max(_MANY, 4 * len(self._begun)):
            self._numbers = {id(one): self._numbers[id(one)] for one in self._begun}

    def open(self) -> list[Generator]:
        """Those that may not be exhausted."""
        return [*self._begun, *(generator for _, generator in self._kept)]

    def watch_collector(self) -> None:
        """Learn from now on when the collector is at work."""
        if self._collector not in gc.callbacks:
            gc.callbacks.append(self._collector)

    def leave_collector(self) -> None:
        """Stop learning it."""
        if self._collector in gc.callbacks:
            gc.callbacks.remove(self._collector)
        self._collecting = False

    def keep_if_collected(self, generator: Generator) -> bool:
        """Keep a generator that is about to go, if it was the collector that found it."""
        if self._collecting:
            self._kept.append((self._numbers.get(id(generator), self._count), generator))
        return self._collecting

    def kept(self) -> list[Generator]:
        """What the collector has found so far, in the order in which it was begun. Nobody else closes these."""
        kept = sorted(self._kept, key=lambda entry: entry[0])
        self._kept.clear()
        return [generator for _, generator in kept]

    def unreachable(self) -> Iterator[Generator]:
        """What the collector finds if it looks now, what it has found before included, oldest first."""
        while self._begun or self._kept:
            gc.collect()  # Only for routes that leave generators open; others don't pay for it.
            kept = self.kept()
            if not kept:
                return
            yield from kept

    def _collector(self, phase: str, info: Mapping[str, int]) -> None:
        # guard: generator-closed-at-end - a generator that the collector finds must not run its clean-up in the middle
        # of the route
        self._collecting = phase == "start"
