"""The engine's own time: backoff, timers, limits, parallelism. Attempts are scripted and the clock is the test's."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.unit.engines.local.builders import call, new_run

from application_sdk.engines.local.calls import CallState
from application_sdk.engines.local.dispatcher import Dispatcher
from application_sdk.engines.local.events import ignore_event
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.state import StateStore
from application_sdk.engines.processes.executor_protocol import (
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    ExecutorEvent,
)
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import ScheduledCall
from application_sdk.wire.fields import ErrorFields, RetryFields

BAD = ErrorFields(type="ValueError", message="bad", retryable=True)


class Script:
    """An executor whose attempts end when the test says so. Waiting moves the clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.started: list[AttemptSpec] = []
        self.killed: list[str] = []
        self.cancelled: list[str] = []
        self.events: deque[ExecutorEvent] = deque()

    def clock(self) -> float:
        return self.now

    def start(self, spec: AttemptSpec) -> None:
        self.started.append(spec)
        self.events.append(AttemptBegun(spec.key))

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        if not self.events:
            self.now += seconds
        events = list(self.events)
        self.events.clear()
        return events

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)

    def kill(self, key: str) -> None:
        self.killed.append(key)
        self.events.append(AttemptEnded(key, error=BAD, exit_code=-9))

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


class Scene:
    def __init__(self, path: Path, limits: Limits) -> None:
        self.folder = RunStore(path).create("orders-1")
        self.ledger = Ledger.create(self.folder.ledger, new_run())
        self.script = Script()
        info = RunInfo(run_id="orders-1", uid="uid-1", started_at=1000.0, correlation_id="c")
        keeper = StateStore(self.folder.state, "orders", self.folder.ledger)
        self.dispatcher = Dispatcher(
            self.folder, self.ledger, keeper, self.script, info, limits, ignore_event, self.script.clock, lambda: 0.0
        )

    def queue(self, made: ScheduledCall) -> CallState:
        self.ledger.add_calls([made], made_after=0, at=self.script.now)
        state = CallState(made, scheduled_at=self.script.now)
        self.dispatcher.queue(state)
        return state

    def turn_until(self, time: float) -> None:
        """Let the dispatcher work until the clock stands at a time."""
        while self.script.now < time:
            self.dispatcher.start_due()
            self.dispatcher.wait(time - self.script.now)
        self.dispatcher.start_due()

    def outcomes(self) -> list[tuple[str, str]]:
        return [(done.task, done.outcome) for done in self.dispatcher.take_completed()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, Limits(parallelism=2, overdue_seconds=5, cancel_seconds=30))
    with contextlib.closing(made.ledger):
        yield made


def waiting(seconds: float, attempts: int = 3) -> RetryFields:
    return RetryFields(
        maxAttempts=attempts, initialIntervalSeconds=seconds, maxIntervalSeconds=60, backoffCoefficient=2
    )


def test_a_failed_attempt_is_followed_by_another_after_its_wait(scene: Scene) -> None:
    fetch = call("fetch", retry=waiting(8))
    scene.queue(fetch)
    scene.dispatcher.start_due()
    scene.script.events.append(AttemptEnded(fetch.key, error=BAD))
    scene.turn_until(1003.9)
    assert [spec.info.attempt for spec in scene.script.started] == [1]
    scene.turn_until(1004.0)
    assert [spec.info.attempt for spec in scene.script.started] == [1, 2]
    assert scene.ledger.calls()[0].not_before == 1004.0


def test_an_attempt_is_in_the_ledger_before_it_is_started(scene: Scene) -> None:
    numbers: list[int] = []
    start = scene.script.start

    def look_first(spec: AttemptSpec) -> None:
        numbers.extend(one.attempt for one in scene.ledger.attempts())
        start(spec)

    scene.script.start = look_first  # type: ignore[method-assign]
    scene.queue(call("fetch"))
    scene.dispatcher.start_due()
    assert numbers == [1]


def test_no_more_run_at_once_than_allowed_and_the_rest_in_their_order(scene: Scene) -> None:
    calls = [call(name, sequence=place) for place, name in enumerate("abc")]
    for made in calls:
        scene.queue(made)
    scene.dispatcher.start_due()
    assert [spec.info.task for spec in scene.script.started] == ["a", "b"]
    scene.script.events.append(AttemptEnded(calls[1].key, output={}))
    scene.dispatcher.wait(0)
    scene.dispatcher.start_due()
    assert [spec.info.task for spec in scene.script.started] == ["a", "b", "c"]


def test_a_timer_fires_when_it_is_due_and_not_before(scene: Scene) -> None:
    timer = ScheduledCall(
        key="t", role="timer", task="sleep", entrypoint="run", sequence=0, input={"seconds": 10.0},
        identity={"inputDigest": "", "lineage": "", "occurrence": 0}, policy={"retry": waiting(0)}, pod={}, line="",
        seconds=10.0,
    )  # fmt: skip
    scene.queue(timer)
    scene.turn_until(1009.9)
    assert scene.outcomes() == []
    scene.turn_until(1010.0)
    assert scene.outcomes() == [("sleep", "Succeeded")]


def test_an_attempt_that_overruns_its_limit_is_killed_after_a_grace_and_counts_as_failed(scene: Scene) -> None:
    slow = call("slow", timeoutSeconds=20.0, retry=waiting(0, attempts=1))
    scene.queue(slow)
    scene.turn_until(1024.9)
    assert scene.script.killed == []
    scene.turn_until(1025.1)
    (done,) = scene.dispatcher.take_completed()
    assert done.error is not None
    assert (done.outcome, done.error["type"]) == ("Failed", "TimedOut")
    assert "after 20 s (timeout_seconds)" in done.error["message"]


def test_the_limit_of_an_ended_attempt_does_not_touch_the_next_one(scene: Scene) -> None:
    slow = call("slow", timeoutSeconds=20.0, retry=waiting(36))
    scene.queue(slow)
    scene.turn_until(1010.0)
    scene.script.events.append(AttemptEnded(slow.key, error=BAD))
    scene.turn_until(1040.0)
    assert [spec.info.attempt for spec in scene.script.started] == [1, 2]
    assert scene.script.killed == []


def test_a_call_that_is_not_done_in_time_fails_whatever_attempts_are_left(scene: Scene) -> None:
    fetch = call("fetch", scheduleToCloseSeconds=30.0, retry=waiting(1, attempts=99))
    scene.queue(fetch)
    scene.turn_until(1030.1)
    (done,) = scene.dispatcher.take_completed()
    assert done.error is not None
    assert "wasn't done 30 s after it was called (schedule_to_close_seconds)" in done.error["message"]
    assert scene.script.killed == [fetch.key]


def test_a_cancelled_run_completes_what_waits_and_asks_what_runs(scene: Scene) -> None:
    calls = [call(name, sequence=place) for place, name in enumerate("abc")]
    for made in calls:
        scene.queue(made)
    scene.dispatcher.start_due()
    scene.dispatcher.cancel_all()
    assert scene.outcomes() == [("c", "Cancelled")]
    assert scene.script.cancelled == [calls[0].key, calls[1].key]
    scene.script.events.append(AttemptEnded(calls[0].key))
    scene.script.events.append(AttemptEnded(calls[1].key, output={}))
    scene.dispatcher.wait(0)
    assert scene.outcomes() == [("a", "Cancelled"), ("b", "Succeeded")]


def test_what_does_not_give_way_to_a_cancellation_is_killed(scene: Scene) -> None:
    scene.queue(call("deaf"))
    scene.dispatcher.start_due()
    scene.dispatcher.cancel_all()
    scene.turn_until(1029.9)
    assert scene.script.killed == []
    scene.turn_until(1030.1)
    assert scene.outcomes() == [("deaf", "Cancelled")]


def test_an_attempt_that_somebody_terminated_is_tried_again_without_charge(scene: Scene) -> None:
    fetch = call("fetch", retry=waiting(0, attempts=1))
    state = scene.queue(fetch)
    scene.dispatcher.start_due()
    scene.script.events.append(AttemptEnded(fetch.key))
    scene.dispatcher.wait(0)
    scene.dispatcher.start_due()
    assert [spec.info.attempt for spec in scene.script.started] == [1, 2]
    assert (state.failures, state.disruptions) == (0, 1)


def test_the_next_attempt_is_given_the_latest_heartbeat_details(scene: Scene) -> None:
    fetch = call("fetch", retry=waiting(0))
    scene.queue(fetch)
    scene.dispatcher.start_due()
    scene.script.events.extend(
        [
            AttemptHeartbeat(fetch.key, heartbeat={"page": 1}),
            AttemptHeartbeat(fetch.key, heartbeat={"page": 2}),
            AttemptEnded(fetch.key, error=BAD),
        ]
    )
    scene.dispatcher.wait(0)
    scene.dispatcher.start_due()
    assert scene.script.started[1].info.heartbeat == {"page": 2}
    assert scene.ledger.calls()[0].heartbeat == {"page": 2}


def test_an_abandoned_attempt_holds_no_place_and_is_killed(scene: Scene) -> None:
    slow, other, third = call("slow"), call("other"), call("third")
    for made in (slow, other, third):
        scene.queue(made)
    scene.dispatcher.start_due()
    scene.dispatcher.abandon(slow.key)
    assert scene.script.cancelled == [slow.key]
    scene.dispatcher.start_due()
    assert [spec.key for spec in scene.script.started] == [slow.key, other.key, third.key]
    scene.turn_until(1031.0)
    assert scene.script.killed == [slow.key]
    scene.dispatcher.wait(0)
    assert scene.outcomes() == [("slow", "Cancelled")]
    assert [(one.reason, one.budget) for one in scene.dispatcher.take_ended()] == [("Abandoned", "None")]


def test_a_cancelled_runs_attempts_end_as_cancelled(scene: Scene) -> None:
    made = call("slow")
    scene.queue(made)
    scene.dispatcher.start_due()
    scene.dispatcher.cancel_all()
    scene.dispatcher.abandon(made.key)
    scene.script.events.append(AttemptEnded(made.key))
    scene.dispatcher.wait(1)
    assert [(one.reason, one.budget) for one in scene.dispatcher.take_ended()] == [("Cancelled", "None")]
