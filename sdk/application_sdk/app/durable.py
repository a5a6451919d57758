"""Time, chance and waiting, as a replay can repeat them. In a route they are durable, elsewhere the real thing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from application_sdk.execution import current

if TYPE_CHECKING:
    import random
    import uuid


def now() -> datetime:
    """The time, in UTC. In a route: of the last completion that the route has seen."""
    runtime = current.get()
    return runtime.now() if runtime is not None else datetime.now(UTC)


def uuid4() -> uuid.UUID:
    """A random UUID. In a route: the same in every replay."""
    runtime = current.get()
    if runtime is not None:
        return runtime.uuid()
    import uuid

    return uuid.uuid4()


def randomness() -> random.Random:
    """A source of random numbers. In a route: it gives the same ones in every replay."""
    runtime = current.get()
    if runtime is not None:
        return runtime.random()
    import random

    return random.Random()


async def sleep(seconds: float | timedelta) -> None:
    """Wait. In a route: a durable timer, which survives restarts and has no pod of its own."""
    seconds = in_seconds(seconds)
    runtime = current.get()
    if runtime is not None:
        await runtime.sleep(seconds)
        return
    import asyncio

    await asyncio.sleep(seconds)


async def wait_condition(
    condition: Callable[[], bool],
    *,
    timeout: float | timedelta | None = None,  # noqa: ASYNC109
) -> None:
    """Wait until `condition()` is true, which other branches of the route make it.

    `timeout` is in seconds, or a timedelta; TimeoutError is raised after it. The condition is asked often and must be
    cheap.
    """
    seconds = None if timeout is None else in_seconds(timeout)
    runtime = current.get()
    if runtime is not None:
        await runtime.wait_condition(condition, seconds)
        return
    import asyncio

    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever makes it true tells nobody
            await asyncio.sleep(0.01)


def in_seconds(span: float | timedelta) -> float:
    """A time span as a number of seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else span
