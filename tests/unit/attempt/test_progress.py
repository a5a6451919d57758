"""The stall watchdog: an attempt that lives but makes no progress is told, or ended where its task asks for that."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.support import virtual_time

from application_sdk.app import App, task
from application_sdk.app.task_options import TaskOptions, apply_options
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.progress import ProgressWatch
from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.execution.definition import TaskSettings


class Given(Input):
    steps: int = 0


class Made(Output):
    seconds: float = 0


class Place(HeartbeatDetails):
    step: int = 0


class Slow(App):
    @task
    async def hang(self, input: Given) -> Made:
        self.heartbeat(Place(step=1))
        await asyncio.Event().wait()
        return Made()

    @task
    async def plod(self, input: Given) -> Made:
        for step in range(input.steps):
            await asyncio.sleep(90)
            self.heartbeat(Place(step=step))
        return self.taken()

    @task
    async def count(self, input: Given) -> Made:
        for step in range(input.steps):
            await asyncio.sleep(90)
            self.task_context.progress(step, input.steps)
        return self.taken()

    @task
    async def scan(self, input: Given) -> Made:
        async with self.holding_progress("full scan", timeout=500):
            await asyncio.sleep(input.steps)
        await asyncio.sleep(99)
        return self.taken()

    @task
    async def scan_without_end(self, input: Given) -> Made:
        async with self.holding_progress("full scan"):
            await asyncio.sleep(input.steps)
        return self.taken()

    @task
    async def clean_up(self, input: Given) -> Made:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
        return Made()

    def taken(self) -> Made:
        return Made(seconds=asyncio.get_running_loop().time())

    async def run(self, input: Given) -> Made:
        return await self.hang(input)


def end_of(name: str, steps: int = 0, **options: Any) -> AttemptResult:
    """An attempt's end in virtual time, with the watchdog at 100 s unless `options` say otherwise."""
    given: TaskOptions = {
        "max_no_progress_seconds": 100,
        "progress_watchdog": "enforce",
        "auto_heartbeat_seconds": None,
    }
    settings = apply_options(TaskSettings(), {**given, **options}, "test")
    info = AttemptInfo(
        run_id="r",
        correlation_id="r",
        task=name,
        attempt=2,
        idempotency_key="k",
        policy=settings.to_policy(),
        max_output_bytes=1000,
    )

    async def attempt() -> AttemptResult:
        return await Attempt(Slow.definition.task(name), Slow(), info).run({"steps": steps})

    return in_virtual_time(attempt())


def in_virtual_time(main: Coroutine[Any, Any, AttemptResult]) -> AttemptResult:
    return virtual_time.run(main)


def test_an_attempt_that_hangs_is_ended_and_told_where_it_waits() -> None:
    error = end_of("hang").error
    assert error is not None
    assert error["type"] == "NoProgress"
    assert error.get("retryable") is True
    hang = Slow.definition.task("hang")
    waits = f"{__file__}:{hang.function.__code__.co_firstlineno + 3}"
    assert error["message"].startswith(
        f"attempt 2 of 'hang' has made no progress for 100 s (max_no_progress_seconds=100, {hang.line}). "
        f"The latest was a heartbeat, and it waits at {waits}. Call self.heartbeat() whenever a piece of "
    )


def test_an_attempt_that_is_only_told_of_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        result = end_of("scan_without_end", 250, progress_watchdog="warn")
        assert result.error is None
        assert not caplog.records
        error = end_of("hang", progress_watchdog="warn", timeout_seconds=350).error
    assert error is not None
    assert error["type"] == "TimedOut"
    waited = [re.search(r"no progress for (\d+) s", record.getMessage()) for record in caplog.records]
    assert [found.group(1) for found in waited if found] == ["100", "200", "300"]


def test_the_watchdog_can_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    error = end_of("hang", progress_watchdog="off", timeout_seconds=1000).error
    assert error is not None
    assert error["type"] == "TimedOut"
    assert not caplog.records


@pytest.mark.parametrize("name", ["plod", "count"])
def test_slow_work_that_shows_its_progress_is_left_alone(name: str) -> None:
    assert end_of(name, 20).output == {"seconds": 1800}


def test_a_hold_vouches_for_as_long_as_it_says() -> None:
    assert end_of("scan", 499).output == {"seconds": 598}
    error = end_of("scan", 501).error
    assert error is not None
    assert "no progress for 500 s" in error["message"]
    assert "The latest was 'full scan'" in error["message"]


def test_a_hold_without_a_limit_vouches_for_ever() -> None:
    assert end_of("scan_without_end", 80_000).output == {"seconds": 80_000}


def test_a_stalled_body_may_clean_up() -> None:
    error = end_of("clean_up").error
    assert error is not None
    assert error["type"] == "NoProgress"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> ProgressWatch:
    watch = ProgressWatch()
    watch.begin(clock)
    return watch


def test_a_blocking_call_is_held_without_a_limit(watch: ProgressWatch, clock: Clock) -> None:
    with watch.hold_call("the query"):
        clock.now = 1e9
        assert watch.due(10) > clock.now
    assert watch.silence() == 0
    assert watch.last_sign == "the query"


def test_a_declared_hold_counts_for_the_blocking_calls_in_it(watch: ProgressWatch) -> None:
    with watch.hold("scan", 60), watch.hold_call("the query"):
        assert watch.due(10) == 60


def test_the_longest_of_several_holds_counts(watch: ProgressWatch) -> None:
    with watch.hold("a", 60):
        with watch.hold("b", 5):
            assert watch.due(10) == 60
        assert watch.due(10) == 60
    assert watch.due(10) == 10
