"""Numbers that no calendar and no float can take: one run's odd number never ends a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, seen

from application_sdk.wire.fields import MAX_COEFFICIENT, MAX_SECONDS, ErrorFields
from apprun_operator.observe import parse
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse as parse_time
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import PatchTask
from apprun_operator.plan.pod import pods
from apprun_operator.plan.run.reconcile import plan

ODD = [0, -0.0, -1, -1e308, 1e308, 10**30, 5e-324, 2**63]
RETRY = {"maxAttempts": 3, "initialIntervalSeconds": 1.0, "maxIntervalSeconds": 60.0, "backoffCoefficient": 2.0}
SPANS = ["timeoutSeconds", "scheduleToCloseSeconds", "heartbeatTimeoutSeconds", "maxNoProgressSeconds"]
META = {
    "name": "run-0123456789abcdef",
    "namespace": "default",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2026-07-01T10:00:00Z",
}


def read(policy: dict[str, Any], **spec: Any) -> TaskRecord:
    made = {"run": "run", "role": "task", "key": "0" * 32, "task": "work", "policy": policy, **spec}
    return parse.task({"metadata": META, "spec": made})


def failed(policy: dict[str, Any]) -> TaskRecord:
    """A call whose third attempt has failed, with a policy that is as it was written."""
    error = ErrorFields(type="ValueError", message="no", attempt=3)
    history = tuple({"attempt": n, "reason": "ValueError", "budget": "App"} for n in (1, 2))
    return a_task("a", policy=policy, attempt=3, error=error, attempts=history)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", ["initialIntervalSeconds", "maxIntervalSeconds", "backoffCoefficient", "maxAttempts"])
def test_an_odd_retry_is_answered(name: str, value: float) -> None:
    task = failed({"retry": {**RETRY, "maxAttempts": 9, name: value}})
    decided = plan(seen(a_driver(), a_pod(a_driver()), task), NOW, LIMITS)
    (answer,) = [action for action in decided.then if isinstance(action, PatchTask)]
    due = answer.status.get("notBefore")
    assert due is None or parse_time(str(due)) <= NOW + MAX_SECONDS


def test_an_odd_retry_leaves_other_calls_alone() -> None:
    odd = failed({"retry": {"maxAttempts": 9, "initialIntervalSeconds": 1e308, "maxIntervalSeconds": 1e308,
                            "backoffCoefficient": 1e308}})  # fmt: skip
    other = a_task("b")
    decided = plan(seen(a_driver(), a_pod(a_driver()), odd, other), NOW, LIMITS)
    assert {type(action).__name__ for action in decided.then} == {"PatchTask", "CreatePod"}


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", SPANS)
def test_an_odd_time_limit_is_read_as_one_that_can_be_waited_for(name: str, value: float) -> None:
    task = read({name: value, "retry": RETRY})
    assert task.policy is not None
    assert 0 <= task.policy[name] <= MAX_SECONDS  # type: ignore[literal-required]
    own = replace(a_task("a"), policy=task.policy)
    plan(seen(a_driver(), a_pod(a_driver()), own), NOW, LIMITS)
    deadline = pods.pod(a_run(), own, LIMITS).body["spec"].get("activeDeadlineSeconds", 1)  # type: ignore[union-attr,call-overload,index]
    assert 1 <= deadline < 2**31  # type: ignore[operator]


@pytest.mark.parametrize("value", ODD)
def test_an_odd_retry_is_read_within_bounds(value: float) -> None:
    task = read({"retry": dict.fromkeys(RETRY, value)})
    assert task.policy is not None
    retry = task.policy["retry"]
    assert 0 <= retry["initialIntervalSeconds"] <= MAX_SECONDS
    assert 0 <= retry["backoffCoefficient"] <= MAX_COEFFICIENT
    assert isinstance(retry["maxAttempts"], int)


@pytest.mark.parametrize("value", ODD)
def test_an_odd_timer_is_due_some_time(value: float) -> None:
    timer = read({"retry": RETRY}, role="timer", seconds=value)
    assert 0 <= timer.seconds <= MAX_SECONDS
    decided = plan(seen(a_driver(), a_pod(a_driver()), replace(timer, meta=a_task("a").meta)), NOW, LIMITS)
    assert decided.wake_at is not None or decided.then


@pytest.mark.parametrize(
    "policy", [7, [], "x", {"retry": 7}, {"timeoutSeconds": "long"}, {"retry": {"maxAttempts": {}}}]
)
def test_a_policy_that_is_none_is_this_objects_problem(policy: Any) -> None:
    with pytest.raises(parse.Unreadable):
        read(policy)


@pytest.mark.parametrize("moment", [-1e308, -1.0, 0.0, 1e11, 1e15, 1e308, float("inf")])
def test_every_moment_has_words(moment: float) -> None:
    assert 0 <= parse_time(rfc3339(moment)) <= 253_402_300_800


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"])
def test_far_times_of_a_report_are_reckoned_with(text: str) -> None:
    found = parse.task(
        {
            "metadata": META,
            "spec": {"run": "run", "role": "task", "key": "0" * 32, "task": "work"},
            "status": {"phase": "Succeeded", "startedAt": text, "finishedAt": text, "notBefore": text},
        }
    )
    own = replace(found, meta=a_task("a").meta, key="a".ljust(32, "0"))
    assert plan(seen(a_driver(), a_pod(a_driver()), own), NOW, LIMITS).first


@pytest.mark.parametrize("value", [1, 2**53, 2**63 - 1])
def test_a_run_may_ask_for_any_time(value: int) -> None:
    run = a_run(timeout_seconds=value, ttl_seconds=value, cancel_grace=value)
    plan(seen(a_driver(), a_pod(a_driver()), run=run), NOW, LIMITS)
    plan(seen(a_driver(), a_pod(a_driver()), run=replace(run, cancel=True)), NOW, LIMITS)


@pytest.mark.parametrize("value", ODD)
def test_an_odd_wish_to_be_tried_again_is_bounded(value: float) -> None:
    error = {"type": "RetryableError", "message": "", "attempt": 1, "retryAfterSeconds": value}
    spec = {"run": "run", "role": "task", "key": "0" * 32, "task": "work", "policy": {"retry": RETRY}}
    read = parse.task({"metadata": META, "spec": spec, "status": {"error": error}})
    assert read.error is not None
    assert 0 <= read.error["retryAfterSeconds"] <= MAX_SECONDS
