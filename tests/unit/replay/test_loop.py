"""The route's event loop: first in, first out, no clock of its own, and the same order in every process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from application_sdk.errors import RouteViolation
from application_sdk.replay.loop import RouteLoop
from application_sdk.replay.violations import Violations


class Timers:
    def __init__(self) -> None:
        self.started: list[tuple[asyncio.TimerHandle, float]] = []
        self.cancelled: list[asyncio.TimerHandle] = []

    def start(self, handle: asyncio.TimerHandle, seconds: float, fire: Callable[[asyncio.TimerHandle], None]) -> None:
        self.started.append((handle, seconds))

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        self.cancelled.append(handle)


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def loop(timers: Timers) -> RouteLoop:
    return RouteLoop(timers, Violations())


def finish(loop: RouteLoop, body: Coroutine[Any, Any, object]) -> object:
    task = loop.create_task(body)
    turn(loop)
    return task.result()


def turn(loop: RouteLoop) -> None:
    with loop.running():
        loop.turn()


def test_tasks_step_first_in_first_out(loop: RouteLoop) -> None:
    seen: list[str] = []

    async def step(name: str) -> None:
        for number in range(2):
            seen.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def body() -> None:
        await asyncio.gather(step("a"), step("b"), step("c"))

    finish(loop, body())
    assert seen == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_sleeping_announces_a_timer_and_firing_it_wakes(loop: RouteLoop, timers: Timers) -> None:
    task = loop.create_task(asyncio.sleep(5, "woken"))
    turn(loop)
    ((handle, seconds),) = timers.started
    assert seconds == 5
    assert not task.done()
    loop.advance(5)
    loop.fire(handle)
    turn(loop)
    assert task.result() == "woken"
    assert loop.time() == 5


def test_a_cancelled_sleep_cancels_its_timer(loop: RouteLoop, timers: Timers) -> None:
    task = loop.create_task(asyncio.sleep(5))
    turn(loop)
    task.cancel()
    turn(loop)
    assert timers.cancelled == [timers.started[0][0]]


def test_time_never_goes_back(loop: RouteLoop) -> None:
    loop.advance(3)
    loop.advance(1)
    assert loop.time() == 3


def test_sets_of_tasks_and_futures_keep_the_order_of_their_making(loop: RouteLoop) -> None:
    async def body() -> list[str]:
        tasks = [asyncio.create_task(asyncio.sleep(0), name=f"n{number}") for number in range(50)]
        done, _ = await asyncio.wait(set(tasks))
        return [task.get_name() for task in done]

    assert finish(loop, body()) == [f"n{number}" for number in range(50)]
    assert [hash(loop.create_future()) for _ in range(3)] == sorted(hash(loop.create_future()) - 3 for _ in range(3))


def test_the_loop_is_the_running_one_only_while_it_turns(loop: RouteLoop) -> None:
    async def body() -> bool:
        return asyncio.get_running_loop() is loop

    assert finish(loop, body()) is True
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_threads_are_refused_by_name(loop: RouteLoop) -> None:
    async def body() -> None:
        await asyncio.to_thread(sorted, [])

    with pytest.raises(RouteViolation, match=r"sorted\(\) run in a thread in the route"):
        finish(loop, body())


def test_an_abandoned_async_generator_is_closed(loop: RouteLoop) -> None:
    closed: list[bool] = []

    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def body() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(0)

    finish(loop, body())
    assert closed == [True]
