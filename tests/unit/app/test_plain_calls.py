"""Without a runtime an app is a plain object: tasks are methods, helpers give the real thing."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from application_sdk import app as public
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.errors import MisuseError


class In(Input):
    value: int = 0


class Out(Output):
    value: int = 0


class Plain(App):
    def __init__(self) -> None:
        self.seen: list[str] = []

    @task
    async def double(self, input: In) -> Out:
        self.seen.append("double")
        return Out(value=input.value * 2)

    @task(timeout_seconds=3)
    def triple(self, input: In) -> Out:
        self.seen.append(threading.current_thread().name)
        return Out(value=input.value * 3)

    async def run(self, input: In) -> Out:
        doubled = await self.double(input)
        return await self.triple(In(value=doubled.value))


async def test_a_task_on_a_bare_instance_is_a_method_call() -> None:
    app = Plain()
    assert await app.double(In(value=4)) == Out(value=8)
    assert app.seen == ["double"]


async def test_a_route_on_a_bare_instance_calls_its_tasks_plainly() -> None:
    assert await Plain().run(In(value=1)) == Out(value=6)


async def test_a_sync_task_is_awaitable_and_leaves_the_event_loop_alone() -> None:
    app = Plain()
    assert await app.triple(In(value=2)) == Out(value=6)
    assert app.seen != [threading.current_thread().name]


def test_a_sync_task_without_an_event_loop_gives_its_output() -> None:
    assert Plain().triple(In(value=2)) == Out(value=6)  # type: ignore[comparison-overlap]


async def test_options_and_keys_change_nothing_for_a_plain_call() -> None:
    assert await Plain().double.options(timeout_seconds=1).keyed("it")(In(value=4)) == Out(value=8)


async def test_the_task_context_of_a_bare_instance_takes_heartbeats() -> None:
    context = Plain().task_context
    context.heartbeat()
    assert context.attempt == 1


async def test_helpers_give_the_real_thing() -> None:
    app = Plain()
    assert abs((app.now() - datetime.now(UTC)).total_seconds()) < 60
    assert app.uuid() != app.uuid()
    assert app.random().random() != app.random().random()
    await app.sleep(0)
    await public.wait_condition(lambda: True)


async def test_wait_condition_gives_up_after_its_timeout() -> None:
    with pytest.raises(TimeoutError):
        await public.wait_condition(lambda: False, timeout=0.01)


def test_continue_with_outside_a_route_is_refused() -> None:
    with pytest.raises(MisuseError, match="continue_with"):
        Plain().continue_with(In())


def test_options_are_checked_where_they_are_given() -> None:
    with pytest.raises(TypeError, match=r"double\.options\(\) at .*test_plain_calls\.py:\d+: timeout_seconds=0"):
        Plain().double.options(timeout_seconds=0)


def test_the_public_names_are_these() -> None:
    assert public.__all__ == [
        "App", "AppContext", "AppError", "AppRegistry", "Input", "NonRetryableError", "Output", "OutputStatus",
        "RetryPolicy", "RetryableError", "ReusePolicy", "TaskFailedError", "TaskRegistry",
        "entrypoint", "now", "query", "signal", "sleep", "task", "update", "uuid4", "wait_condition",
    ]  # fmt: skip
    assert all(hasattr(public, name) for name in public.__all__)


def test_a_call_in_gather_works_without_a_runtime() -> None:
    async def both() -> list[Out]:
        app = Plain()
        return await asyncio.gather(app.double(In(value=1)), app.triple(In(value=1)))

    assert asyncio.run(both()) == [Out(value=2), Out(value=3)]
