"""A route that computes without ever waiting is told once, with its line, and so is its going on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from typing_extensions import override

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.engines.memory import MemoryEngine, World
from application_sdk.engines.memory.attempts import AttemptRunner
from application_sdk.execution.definition import RunInfo
from application_sdk.replay.run import run_route
from application_sdk.replay.yielding import NoWatch, YieldWatch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def watch(told: list[str], clock: Clock) -> YieldWatch:
    return YieldWatch(told.append, limit=10, clock=clock)


def looked(watch: YieldWatch, clock: Clock, *moments: float) -> None:
    for moment in moments:
        clock.now = moment
        watch.check()


def test_turn_that_lasts_is_told_once(watch: YieldWatch, clock: Clock, told: list[str]) -> None:
    watch.enter("the route")
    looked(watch, clock, 0, 9)
    assert told == []
    looked(watch, clock, 10, 11, 60)
    (sentence,) = told
    assert sentence.startswith("the route has computed for more than 10 s without waiting for anything: it is at ")
    assert "test_yielding.py:" in sentence


def test_its_end_is_told_once(watch: YieldWatch, clock: Clock, told: list[str]) -> None:
    watch.enter("the route")
    looked(watch, clock, 0, 10)
    watch.leave()
    looked(watch, clock, 11, 12)
    assert told[1:] == [""]


def test_turns_that_follow_one_another_are_no_long_one(watch: YieldWatch, clock: Clock, told: list[str]) -> None:
    for moment in range(30):
        watch.enter("the route")
        looked(watch, clock, moment)
        watch.leave()
    assert told == []


def test_waiting_is_not_computing(watch: YieldWatch, clock: Clock, told: list[str]) -> None:
    watch.enter("the route")
    watch.leave()
    looked(watch, clock, *range(60))
    assert told == []


def test_the_line_is_the_users_innermost_one() -> None:
    told: list[str] = []
    seen = threading.Event()

    def note(sentence: str) -> None:
        told.append(sentence)
        seen.set()

    watch = YieldWatch(note, limit=0.05, look=0.02)
    watch.start()
    watch.enter("the route")
    line = _spin(seen.is_set)
    watch.leave()
    watch.stop()
    assert f"test_yielding.py:{line}." in told[0] or f"test_yielding.py:{line + 1}." in told[0]


def _spin(done: Callable[[], bool]) -> int:
    line = _spin.__code__.co_firstlineno + 2
    while not done():
        pass
    return line


class Marks(NoWatch):
    """Writes down what a route tells its watch."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @override
    def enter(self, work: str) -> None:
        self.said.append(work)

    @override
    def leave(self) -> None:
        self.said.append("")


class Spinning(App):
    @task
    async def work(self, input: Input) -> Output:
        return Output()

    async def run(self, input: Input) -> Output:
        return await self.work(input)


def test_route_says_when_it_is_at_work() -> None:
    marks = Marks()
    info = RunInfo(run_id="run-1", uid="4b1c", started_at=1_767_225_600.0)
    runner = AttemptRunner(Spinning, info)
    try:
        run_route(Spinning, None, {}, MemoryEngine(World(runner)), info, marks)
    finally:
        runner.close()
    assert marks.said == ["the route", ""] * (len(marks.said) // 2)
    assert len(marks.said) >= 4
