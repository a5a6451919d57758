"""What becomes of the calls of driver tasks: attempts, retries in place, limits, cancellation, suspension."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.support.kube import eventually
from tests.unit.engines.kubernetes.test_driver import scheduled

from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.kubernetes import driver_tasks
from application_sdk.engines.kubernetes.driver_calls import CallContext
from application_sdk.engines.kubernetes.driver_outcomes import bounded_policy
from application_sdk.engines.kubernetes.driver_tasks import MAX_RUNNING, DriverTasks
from application_sdk.engines.processes.executor_protocol import (
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    ExecutorEvent,
)
from application_sdk.execution.engine import ScheduledCall
from application_sdk.wire.fields import CallOutcome, ErrorFields, Policy, RetryFields

RETRY = RetryFields(maxAttempts=3, initialIntervalSeconds=0.01, maxIntervalSeconds=0.01, backoffCoefficient=1)
POLICY = Policy(retry=RETRY, timeoutSeconds=10)
FAILURE = ErrorFields(type="ValueError", message="no")
INFO = AttemptInfo(
    run_id="daily", correlation_id="c", task="", attempt=0, idempotency_key="", policy=POLICY, max_output_bytes=1000,
    namespace="ns", run_uid="run-uid",
)  # fmt: skip


class Scripted:
    """An executor whose attempts end as the test says."""

    def __init__(self) -> None:
        self.works: list[AttemptSpec] = []
        self.killed: list[str] = []
        self.cancelled: list[str] = []
        self.closed = False
        self.hangs = False
        """Whether no attempt gets a process."""
        self._events: deque[ExecutorEvent] = deque()
        self._changed = threading.Condition()
        self._woken = False

    def start(self, spec: AttemptSpec) -> None:
        self.works.append(spec)
        if not self.hangs:
            self._events.append(AttemptBegun(spec.key))

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._woken, seconds)
            self._woken = False
            events = list(self._events)
            self._events.clear()
            return events

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)

    def kill(self, key: str) -> None:
        self.killed.append(key)
        self.end(key, error=ErrorFields(type="ProcessDied", message="SIGKILL"), exit_code=-9)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self.closed = True

    def sign(self, key: str, heartbeat: dict[str, Any]) -> None:
        with self._changed:
            self._events.append(AttemptHeartbeat(key, heartbeat=heartbeat))

    def end(self, key: str, output: Any = None, **fields: Any) -> None:
        with self._changed:
            self._events.append(AttemptEnded(key, output, **fields))
            self._changed.notify_all()


class Bench:
    def __init__(self) -> None:
        self.executor = Scripted()
        self.outcomes: dict[str, CallOutcome] = {}
        self.failures: list[BaseException] = []
        self.tasks = DriverTasks(self.executor, CallContext(INFO, "daily", "node1"), self._record, self.failures.append)

    def _record(self, call: ScheduledCall, outcome: CallOutcome) -> None:
        assert call.key not in self.outcomes, "two outcomes of one call"
        self.outcomes[call.key] = outcome

    def start(self, number: int, **fields: Any) -> str:
        call = scheduled(number, **({"policy": POLICY, "runs_in": "driver"} | fields))
        self.tasks.start(call)
        return call.key

    def until(self, attempts: int) -> AttemptSpec:
        eventually(f"{attempts} attempts", lambda: len(self.executor.works) >= attempts or None, 10)
        return self.executor.works[-1]

    def outcome(self, key: str) -> CallOutcome:
        return eventually("an outcome", lambda: self.outcomes.get(key), 10)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(driver_tasks, "OVERDUE_SECONDS", 0.05)
    monkeypatch.setattr(driver_tasks, "CANCEL_SECONDS", 0.05)
    made = Bench()
    yield made
    made.tasks.close()
    assert made.executor.closed
    assert not made.failures


def settle(bench: Bench) -> None:
    """Let the thread obey all that it was told."""
    done = threading.Event()
    bench.tasks._post(done.set)
    assert done.wait(10)


def test_output_is_recorded_with_its_attempt(bench: Bench) -> None:
    call = bench.start(1)
    spec = bench.until(1)
    assert (spec.info.attempt, spec.info.idempotency_key, spec.info.task) == (1, f"run-uid/{call}", "work")
    assert spec.context["appTask"] == f"daily-{call[:16]}"
    bench.executor.end(call, {"n": 1})
    outcome = bench.outcome(call)
    assert (outcome["phase"], outcome["attempt"], outcome["output"], outcome["node"]) == (
        "Succeeded", 1, {"n": 1}, "node1"
    )  # fmt: skip
    assert "attempts" not in outcome
    assert not bench.tasks.is_executing(call)


def test_failed_attempts_are_repeated_with_one_key(bench: Bench) -> None:
    call = bench.start(1)
    for attempt in (1, 2):
        spec = bench.until(attempt)
        assert spec.info.attempt == attempt
        bench.executor.end(call, error=FAILURE)
    bench.until(3)
    bench.executor.end(call, {"n": 3})
    outcome = bench.outcome(call)
    assert (outcome["attempt"], [entry["reason"] for entry in outcome["attempts"]]) == (3, ["ValueError"] * 2)
    assert {spec.info.idempotency_key for spec in bench.executor.works} == {f"run-uid/{call}"}


def test_next_attempt_is_given_the_details_of_the_one_before(bench: Bench) -> None:
    call = bench.start(1)
    assert bench.until(1).info.heartbeat is None
    bench.executor.sign(call, {"at": 7})
    bench.executor.end(call, error=FAILURE)
    assert bench.until(2).info.heartbeat == {"at": 7}


def test_last_failure_is_recorded_with_its_log(bench: Bench) -> None:
    call = bench.start(1)
    for attempt in (1, 2, 3):
        bench.until(attempt)
        bench.executor.end(call, error=FAILURE, log=f"log of {attempt}")
    outcome = bench.outcome(call)
    assert (outcome["phase"], outcome["error"]["attempt"], len(outcome["attempts"])) == ("Failed", 3, 3)
    assert outcome["log"] == {"attempt": 3, "tail": "log of 3"}
    assert len(bench.executor.works) == 3


@pytest.mark.parametrize(
    ("error", "policy"),
    [
        ({**FAILURE, "retryable": False}, POLICY),
        (FAILURE, {**POLICY, "retry": {**RETRY, "nonRetryable": ["ValueError"]}}),
        ({**FAILURE, "retryAfterSeconds": 3600}, POLICY),
    ],
    ids=["permanent", "declared permanent", "later than the limit"],
)
def test_failure_that_is_not_repeated(bench: Bench, error: ErrorFields, policy: Policy) -> None:
    call = bench.start(1, policy=policy)
    bench.until(1)
    bench.executor.end(call, error=error)
    assert bench.outcome(call)["phase"] == "Failed"
    assert len(bench.executor.works) == 1


def test_what_ends_the_forker_is_charged_to_nobody(bench: Bench) -> None:
    call = bench.start(1, policy={**POLICY, "retry": {**RETRY, "maxAttempts": 1}})
    bench.until(1)
    bench.executor.end(call, error=FAILURE, disrupted=True)
    bench.until(2)
    bench.executor.end(call, {"n": 1})
    outcome = bench.outcome(call)
    assert (outcome["phase"], outcome["attempts"][0]["budget"]) == ("Succeeded", "Disruption")


def test_attempt_that_blocks_is_killed_and_timed_out(bench: Bench) -> None:
    call = bench.start(1, policy={"retry": {**RETRY, "maxAttempts": 1}, "timeoutSeconds": 0.05})
    outcome = bench.outcome(call)
    assert bench.executor.killed == [call]
    assert (outcome["phase"], outcome["error"]["type"]) == ("Failed", "TimedOut")


def test_attempt_that_never_begins_is_timed_out(bench: Bench) -> None:
    bench.executor.hangs = True
    call = bench.start(1, policy={"retry": RETRY, "scheduleToCloseSeconds": 0.05})
    outcome = bench.outcome(call)
    assert bench.executor.killed == [call]
    assert (outcome["phase"], outcome["error"]["type"]) == ("Failed", "TimedOut")
    assert "couldn't begin in time" in outcome["error"]["message"]


def test_no_more_than_some_run_at_once(bench: Bench) -> None:
    calls = [bench.start(number) for number in range(MAX_RUNNING + 2)]
    bench.until(MAX_RUNNING)
    settle(bench)
    assert len(bench.executor.works) == MAX_RUNNING
    bench.executor.end(calls[0], {"n": 1})
    assert bench.until(MAX_RUNNING + 1).key == calls[MAX_RUNNING]


def test_second_start_of_a_call_is_none(bench: Bench) -> None:
    call = bench.start(1)
    bench.until(1)
    assert bench.start(1) == call
    settle(bench)
    assert len(bench.executor.works) == 1


# Ends from outside


def test_abandoned_call_is_asked_to_end_and_then_killed(bench: Bench) -> None:
    call = bench.start(1)
    bench.until(1)
    bench.tasks.cancel([call])
    outcome = bench.outcome(call)
    assert (bench.executor.cancelled, bench.executor.killed) == ([call], [call])
    assert (outcome["phase"], outcome["error"]["message"]) == ("Cancelled", "the route no longer waits for this call")
    assert outcome["attempts"][0]["budget"] == "None"


def test_abandoned_call_may_have_been_quicker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_tasks, "CANCEL_SECONDS", 30)
    call = bench.start(1)
    bench.until(1)
    bench.tasks.cancel([call])
    eventually("the cancellation", lambda: bench.executor.cancelled or None, 10)
    bench.executor.end(call, {"n": 1})
    assert bench.outcome(call)["phase"] == "Succeeded"


def test_abandoned_call_is_not_repeated(bench: Bench) -> None:
    call = bench.start(1, policy={**POLICY, "retry": {**RETRY, "initialIntervalSeconds": 30, "maxIntervalSeconds": 30}})
    bench.until(1)
    bench.executor.end(call, error=FAILURE)
    settle(bench)
    bench.tasks.cancel([call])
    assert bench.outcome(call)["phase"] == "Cancelled"
    assert len(bench.executor.works) == 1


def test_cancelled_run_goes_on_with_its_clean_up_only(bench: Bench) -> None:
    running = bench.start(1)
    bench.until(1)
    bench.tasks.cancel_run()
    assert bench.outcome(running)["phase"] == "Cancelled"
    late, cleanup = bench.start(2), bench.start(3, cleanup=True)
    assert bench.outcome(late)["phase"] == "Cancelled"
    assert bench.until(2).key == cleanup
    bench.executor.end(cleanup, {"n": 3})
    assert bench.outcome(cleanup)["phase"] == "Succeeded"


def test_suspended_run_begins_no_attempt(bench: Bench) -> None:
    bench.tasks.pause(True)
    call = bench.start(1)
    settle(bench)
    assert bench.executor.works == []
    bench.tasks.pause(False)
    assert bench.until(1).key == call


def test_run_resumed_at_once_does_not_stay_suspended(bench: Bench) -> None:
    busy, free = threading.Event(), threading.Event()
    bench.tasks._post(lambda: (busy.set(), free.wait(10)))
    assert busy.wait(10)
    # Both before the thread has come to the first.
    bench.tasks.pause(True)
    bench.tasks.pause(False)
    free.set()
    call = bench.start(1)
    assert bench.until(1).key == call


def test_failing_thread_fails_the_engine(bench: Bench) -> None:
    def broken(spec: AttemptSpec) -> None:
        raise RuntimeError("no more")

    bench.executor.start = broken  # type: ignore[method-assign]
    bench.start(1)
    failure = eventually("a failure", lambda: bench.failures and bench.failures.pop(), 10)
    assert str(failure) == "no more"


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [({"timeoutSeconds": 86_400, "heartbeatTimeoutSeconds": 60, "autoHeartbeatSeconds": 10}, 60), ({}, None)],
)
def test_policy_of_a_moved_task_is_bounded(policy: Policy, seconds: float | None) -> None:
    limited = bounded_policy({**policy, "retry": RETRY})
    assert limited.get("timeoutSeconds") == seconds
    assert limited["scheduleToCloseSeconds"] == 60
    assert "heartbeatTimeoutSeconds" not in limited
