"""A parked driver: its pod goes, and the next checkpoint starts the next attempt, charged to nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import APP, LIMITS, NOW, a_checkpoint, a_driver, a_pod, a_run, a_task, seen

from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.records import Parked
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import CreatePod, DeletePod, PatchRun, PatchTask, Plan
from apprun_operator.plan.conditions import RunCondition, fields
from apprun_operator.plan.run.reconcile import plan

PARKED = {"attempt": 1, "reason": "Parked", "budget": "None", "finishedAt": "2027-01-15T07:59:00Z"}

PARKED_45_S_AGO = PARKED | {"finishedAt": "2027-01-15T07:59:15Z"}


def decide(*things: Any, **fields: Any) -> Plan:
    return plan(seen(*things, **fields), NOW, LIMITS)


def attempts_of(decided: Plan) -> list[int]:
    return [action.status["attempt"] for action in decided.then if isinstance(action, PatchTask)]


def status_of(decided: Plan) -> dict[str, Any]:
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    return dict(patch.status)


def test_pod_of_a_parked_driver_is_deleted() -> None:
    driver = a_driver(parked=Parked(0, 0))
    pod = a_pod(driver)
    decided = decide(driver, pod, a_task())
    assert DeletePod(pod.meta.key, pod.meta.uid) in decided.then
    assert attempts_of(decided) == []


@pytest.mark.parametrize("pod", [None, "there"])
def test_parked_driver_is_not_started_again(pod: str | None) -> None:
    driver = a_driver(parked=Parked(0, 0))
    decided = decide(driver, *([a_pod(driver)] if pod else []))
    assert not any(isinstance(action, CreatePod) for action in decided.then)


def test_parked_run_says_what_it_waits_for() -> None:
    timer = a_task("b", role="timer", seconds=3600.0)
    status = status_of(decide(a_driver(parked=Parked(0, 0)), a_task(), a_pod(a_task()), timer))
    ready, reconciling, *_ = status["conditions"]
    assert (ready["status"], ready["reason"], reconciling["status"]) == ("True", "Parked", "False")
    assert status["message"].startswith("the route waits for 1 call and 1 timer")


def test_run_that_said_that_it_is_parked_is_left_alone() -> None:
    driver, task = a_driver(parked=Parked(0, 0)), a_task()
    first = decide(driver, task, a_pod(task))
    said = status_of(first)
    run = replace(a_run(reason="Parked", message=said["message"]))
    assert list(decide(driver, task, a_pod(task), run=run).first) == []


def test_checkpoint_that_the_driver_has_not_seen_starts_the_next_attempt() -> None:
    run = a_run(checkpoints=(a_checkpoint(0), a_checkpoint(1)))
    decided = decide(a_driver(parked=Parked(1, 0)), run=run)
    assert attempts_of(decided) == [2]
    (entry,) = [a.status["attempts"] for a in decided.then if isinstance(a, PatchTask)]
    assert [(one["reason"], one["budget"]) for one in entry] == [("Parked", "None")]


def test_commit_of_the_same_plan_starts_it_too() -> None:
    done = a_task(phase="Succeeded", finished_at=NOW, digest="d")
    decided = decide(a_driver(parked=Parked(0, 0)), done)
    assert attempts_of(decided) == [2]
    assert "Parked" not in str(status_of(decided).get("conditions"))


def test_run_that_fails_with_an_error_of_that_name_is_not_ready() -> None:
    failed = fields(a_run(), RunCondition("Failed", "Parked"), NOW)
    assert [one["status"] for one in failed["conditions"]] == ["False", "False", "True", "False"]


def test_call_whose_task_was_deleted_starts_the_driver_that_makes_it_again() -> None:
    task = a_task()
    assert attempts_of(decide(a_driver(parked=Parked(0, 2)), task, a_pod(task))) == [2]
    assert attempts_of(decide(a_driver(parked=Parked(0, 1)), task, a_pod(task))) == []


def test_pages_count_as_checkpoints() -> None:
    run = a_run(pages=1, checkpoints=(a_checkpoint(128),))
    assert attempts_of(decide(a_driver(parked=Parked(129, 0)), run=run)) == []
    assert attempts_of(decide(a_driver(parked=Parked(128, 0)), run=run)) == [2]


def test_woken_driver_waits_for_a_place_of_the_quota() -> None:
    driver = a_driver(attempt=2, attempts=(PARKED,))
    full = decide(driver, pod_quota=PodQuota(0, "maxPods is 5"))
    assert not any(isinstance(action, CreatePod) for action in full.then)
    assert (full.demand.occupied, full.demand.wanted) == (0, 1)
    free = decide(driver, pod_quota=PodQuota(1, "maxPods is 5"))
    assert len([action for action in free.then if isinstance(action, CreatePod)]) == 1
    assert (free.demand.occupied, free.demand.wanted) == (1, 1)


def test_woken_driver_that_runs_takes_no_place() -> None:
    driver = a_driver(attempt=2, attempts=(PARKED,))
    starting = a_pod(driver, phase="Pending", running_since=None)
    assert decide(driver, starting).demand.occupied == 1
    assert decide(driver, a_pod(driver)).demand.occupied == 0


def test_first_driver_waits_for_no_place() -> None:
    decided = decide(a_driver(), pod_quota=PodQuota(0, "maxPods is 5"))
    assert len([action for action in decided.then if isinstance(action, CreatePod)]) == 1


@pytest.mark.parametrize(("park_after", "pause"), [(60, 60), (30, 0), (0, 60)])
def test_driver_that_parks_too_soon_is_followed_after_a_pause(park_after: int, pause: int) -> None:
    driver = replace(a_driver(parked=Parked(0, 10**6), attempt=2), attempts=(PARKED_45_S_AGO,))
    (patch,) = [
        action
        for action in decide(driver, run=a_run(app={**APP, "parkAfterSeconds": park_after})).then
        if isinstance(action, PatchTask)
    ]
    assert patch.status["notBefore"] == (rfc3339(NOW + pause) if pause else None)
