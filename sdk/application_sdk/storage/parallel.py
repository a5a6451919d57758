"""Many transfers at a time, in the order that they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

SMALL_AT_ONCE: Final = 32
"""Small files that travel side by side: they are what hides a store's latency."""
LARGE_AT_ONCE: Final = 2
"""Large files, each of which is in several pieces itself."""
LARGE_BYTES: Final = 8 * 1024 * 1024


async def side_by_side(action: Callable[[T], Awaitable[R]], items: Sequence[T], at_once: int) -> list[R]:
    """What `action` gives for each item, in their order; so many at a time. The first error ends
    all of it."""
    results: dict[int, R] = {}
    pending = iter(enumerate(items))

    async def work() -> None:
        for number, item in pending:
            results[number] = await action(item)

    workers = [asyncio.ensure_future(work()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[number] for number in range(len(items))]


async def by_size(action: Callable[[T], Awaitable[R]], items: Sequence[T], size_of: Callable[[T], int]) -> list[R]:
    """The same for files, of which `size_of` tells the bytes: many small ones at a time, and few
    large ones."""
    sizes = [size_of(item) for item in items]
    results: dict[int, R] = {}

    async def one(number: int) -> None:
        results[number] = await action(items[number])

    await side_by_side(one, [n for n, size in enumerate(sizes) if size <= LARGE_BYTES], SMALL_AT_ONCE)
    await side_by_side(one, [n for n, size in enumerate(sizes) if size > LARGE_BYTES], LARGE_AT_ONCE)
    return [results[number] for number in range(len(items))]
