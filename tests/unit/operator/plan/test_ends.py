"""Cancel, timeout, and what is cleaned up after the end."""

from __future__ import annotations

from typing import Any

from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, seen

from apprun_operator.observe.records import AppSpecRecord
from apprun_operator.plan.actions import DeletePod, DeleteRun, PatchRun, PatchTask, Plan
from apprun_operator.plan.run import plan


def decide(*things: Any, **fields: Any) -> Plan:
    return plan(seen(*things, **fields), NOW, LIMITS)


def status_of(decided: Plan) -> dict[str, Any]:
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    return dict(patch.status)


def test_cancelled_run_asks_its_pods_to_stop_before_it_ends() -> None:
    driver, task = a_driver(), a_task("a")
    decided = decide(driver, a_pod(driver), task, a_pod(task), run=a_run(cancel=True))
    assert status_of(decided)["phase"] == "Cancelling"
    assert [type(action) for action in decided.then] == [DeletePod, DeletePod]


def test_cancelled_run_commits_what_was_reported_meanwhile() -> None:
    driver, done = a_driver(), a_task("a", phase="Succeeded")
    decided = decide(driver, a_pod(driver), done, run=a_run(cancel=True, phase="Cancelling", reason="Cancelled"))
    assert len(status_of(decided)["checkpoints"]) == 1


def test_cancelled_run_ends_when_its_pods_are_gone() -> None:
    decided = decide(a_driver(), a_task("a"), run=a_run(cancel=True, phase="Cancelling"))
    assert status_of(decided)["phase"] == "Cancelled"


def test_cancelled_run_does_not_wait_for_pods_on_dead_nodes() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver, deletion_at=NOW - 60), run=a_run(cancel=True, phase="Cancelling"))
    assert status_of(decided)["phase"] == "Cancelled"


def test_cancelled_run_waits_for_requests_under_way() -> None:
    decided = decide(a_driver(), run=a_run(cancel=True, phase="Cancelling"), in_flight={"run-driver-1"})
    assert not any(
        action.status.get("phase") == "Cancelled" for action in decided.first if isinstance(action, PatchRun)
    )


def test_cancelled_run_starts_nothing() -> None:
    decided = decide(a_driver(), a_task("a"), a_task("b"), run=a_run(cancel=True))
    assert not decided.then


def test_result_that_came_before_the_cancel_counts() -> None:
    decided = decide(a_driver(phase="Succeeded", output=1), run=a_run(cancel=True))
    assert (status_of(decided)["phase"], status_of(decided)["output"]) == ("Succeeded", 1)


def test_run_that_never_began_is_cancelled_with_one_write() -> None:
    run = a_run(cancel=True, app=None, inline_app=AppSpecRecord({"entry": "a:B"}), started_at=None, conditions=())
    decided = decide(run=run)
    assert status_of(decided)["phase"] == "Cancelled"
    assert not decided.then


def test_timeout_fails_the_run_with_its_reason() -> None:
    decided = decide(a_driver(), run=a_run(timeout_seconds=60))
    assert (status_of(decided)["phase"], status_of(decided)["error"]["type"]) == ("Failed", "TimedOut")


def test_finished_run_keeps_no_pod_and_closes_its_open_calls() -> None:
    driver, task = a_driver(phase="Succeeded"), a_task("a")
    decided = decide(driver, a_pod(driver), task, a_pod(task), run=a_run(phase="Succeeded", finished_at=NOW))
    assert [type(action) for action in decided.then] == [DeletePod, DeletePod, PatchTask]
    assert [a.status["phase"] for a in decided.then if isinstance(a, PatchTask)] == ["Cancelled"]
    assert not decided.first


def test_finished_run_is_deleted_after_its_time() -> None:
    run = a_run(phase="Succeeded", finished_at=NOW - 100, ttl_seconds=100)
    assert [type(action) for action in decide(run=run).first] == [DeleteRun]


def test_finished_run_is_kept_for_its_time() -> None:
    run = a_run(phase="Succeeded", finished_at=NOW - 100, ttl_seconds=160)
    assert decide(run=run) == Plan(wake_at=NOW + 60)


def test_finished_run_without_retention_is_kept() -> None:
    assert decide(run=a_run(phase="Failed", finished_at=NOW - 1e7)) == Plan()


def test_retention_of_the_run_wins_over_that_of_the_app() -> None:
    app = AppSpecRecord({"entry": "a:B"}, ttl_seconds=1)
    run = a_run(phase="Succeeded", finished_at=NOW - 100, ttl_seconds=1000, inline_app=app)
    assert not decide(run=run).first
