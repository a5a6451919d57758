"""Cancel, timeout, and what is cleaned up after the end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, a_checkpoint, a_driver, a_pod, a_run, a_task, seen

from application_sdk.wire.fields import TAIL_LIMIT
from apprun_operator.observe.records import AppSpecRecord, RunRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import CreatePod, CreateRun, DeletePod, DeleteRun, PatchRun, PatchTask, Plan
from apprun_operator.plan.run.reconcile import plan


def decide(*things: Any, **fields: Any) -> Plan:
    return plan(seen(*things, **fields), NOW, LIMITS)


def status_of(decided: Plan) -> dict[str, Any]:
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    return dict(patch.status)


def cancelled(**fields: Any) -> RunRecord:
    """A run whose cancellation is in the ledger since a while."""
    entry = a_checkpoint(0, key="cancel", task="cancel", outcome="Cancelled")
    defaults: dict[str, Any] = {"cancel": True, "phase": "Cancelling", "reason": "Cancelled"}
    return a_run(**{**defaults, "cancelled_at": NOW - 10, "checkpoints": (entry,), **fields})


def entries(decided: Plan) -> list[tuple[str, str]]:
    return [(entry["task"], entry["outcome"]) for entry in status_of(decided)["checkpoints"]]


def kinds(decided: Plan) -> list[type]:
    return [type(action) for action in decided.then]


def test_cancel_is_an_entry_of_the_ledger_written_with_the_phase() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver), run=a_run(cancel=True))
    assert entries(decided) == [("cancel", "Cancelled")]
    status = status_of(decided)
    assert (status["phase"], status["cancelledAt"]) == ("Cancelling", rfc3339(NOW))
    assert "cancelled" not in {name for name, count in status["tasks"].items() if count}


def test_cancel_follows_what_was_reported_before_it() -> None:
    driver, done = a_driver(), a_task("a", phase="Succeeded")
    decided = decide(driver, a_pod(driver), done, run=a_run(cancel=True))
    assert entries(decided) == [("work", "Succeeded"), ("cancel", "Cancelled")]


def test_cancel_is_committed_once() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver), run=cancelled())
    assert "checkpoints" not in status_of(decided)


def test_cancel_has_room_in_a_batch_that_fills_the_tail() -> None:
    driver = a_driver()
    done = [a_task(f"{n:04x}", phase="Succeeded") for n in range(300)]
    decided = decide(driver, a_pod(driver), *done, run=a_run(cancel=True))
    assert len(entries(decided)) == TAIL_LIMIT
    assert entries(decided)[-1] == ("cancel", "Cancelled")


def test_cancel_asks_pods_of_tasks_to_stop_and_leaves_the_route_its_own() -> None:
    driver, task = a_driver(), a_task("a")
    pod = a_pod(task)
    decided = decide(driver, a_pod(driver), task, pod, run=a_run(cancel=True))
    assert decided.then == (DeletePod(pod.meta.key, pod.meta.uid),)


def test_call_that_stops_ends_as_cancelled_and_is_charged_to_nobody() -> None:
    driver, task = a_driver(), a_task("a")
    pod = a_pod(task, gone=True, exit_code=143)
    (action,) = decide(driver, a_pod(driver), task, pod, run=cancelled()).then
    assert isinstance(action, PatchTask)
    assert (action.status["phase"], action.status["error"]["type"]) == ("Cancelled", "Cancelled")
    assert [(a["reason"], a["budget"]) for a in action.status["attempts"]] == [("Cancelled", "None")]


@pytest.mark.parametrize(
    "pod", [{"phase": "Failed", "exit_code": 143}, {"deletion_at": NOW - 60}, {"disruption": "DeletionByTaintManager"}]
)
def test_call_whose_pod_has_stopped_or_is_lost_is_not_waited_for(pod: dict[str, Any]) -> None:
    driver, task = a_driver(), a_task("a")
    decided = decide(driver, a_pod(driver), task, a_pod(task, **pod), run=cancelled())
    assert kinds(decided) == [PatchTask]


def test_call_that_is_stopping_may_still_report_until_its_grace_is_over() -> None:
    driver, task = a_driver(), a_task("a")
    decided = decide(driver, a_pod(driver), task, a_pod(task, deletion_at=NOW + 20), run=cancelled())
    assert not decided.then
    assert decided.wake_at == NOW + 25


def test_failure_reported_while_stopping_is_not_tried_again() -> None:
    driver = a_driver()
    task = a_task("a", error={"type": "ValueError", "message": "no", "attempt": 1})
    (action,) = decide(driver, a_pod(driver), task, run=cancelled()).then
    assert isinstance(action, PatchTask)
    assert action.status["phase"] == "Cancelled"


def test_call_made_before_the_cancel_never_starts_after_it() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver), a_task("a"), run=cancelled())
    assert kinds(decided) == [PatchTask]


def test_thousands_of_waiting_calls_are_given_up_by_and_by_and_keep_no_clean_up_waiting() -> None:
    driver, undo = a_driver(), a_task("f", cleanup=True)
    waiting = [a_task(f"{n:04x}") for n in range(1000)]
    first = decide(driver, a_pod(driver), *waiting, undo, run=cancelled())
    assert kinds(first).count(PatchTask) == 200
    assert kinds(first).count(CreatePod) == 1
    under_way = {action.task.name for action in first.then if isinstance(action, PatchTask)}
    then = decide(driver, a_pod(driver), *waiting, undo, run=cancelled(parallelism=1), in_flight=under_way)
    assert kinds(then) == [CreatePod]


def test_every_pod_is_asked_to_stop_at_once() -> None:
    driver = a_driver()
    tasks = [a_task(f"{n:04x}") for n in range(300)]
    decided = decide(driver, a_pod(driver), *tasks, *(a_pod(task) for task in tasks), run=cancelled())
    assert kinds(decided) == [DeletePod] * 300


def test_clean_up_calls_start_after_the_cancel() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver), a_task("a", cleanup=True), run=cancelled())
    assert kinds(decided) == [CreatePod]


def test_clean_up_starts_though_the_run_is_suspended() -> None:
    driver = a_driver()
    decided = decide(driver, a_task("a", cleanup=True), run=cancelled(suspend=True))
    assert kinds(decided) == [CreatePod, CreatePod]


def test_driver_that_dies_while_its_route_cleans_up_is_started_again() -> None:
    driver = a_driver()
    (action,) = decide(driver, a_pod(driver, gone=True), run=cancelled()).then
    assert isinstance(action, PatchTask)
    assert action.status["attempt"] == 2


def test_cancelled_route_that_has_ended_waits_for_its_pods_then_ends_the_run() -> None:
    error = {"type": "Cancelled", "message": "", "attempt": 1}
    driver, task = a_driver(phase="Failed", error=error), a_task("a", phase="Cancelled")
    assert decide(driver, task, a_pod(task, deletion_at=NOW + 20), run=cancelled()).wake_at == NOW + 25
    assert status_of(decide(driver, run=cancelled()))["phase"] == "Cancelled"


def test_route_that_caught_its_cancel_and_returned_succeeds() -> None:
    decided = decide(a_driver(phase="Succeeded", output=1), run=cancelled())
    assert (status_of(decided)["phase"], status_of(decided)["output"]) == ("Succeeded", 1)


def test_route_that_would_continue_ends_when_it_is_cancelled() -> None:
    wish = {"input": {}, "entrypoint": "run"}
    decided = decide(a_driver(phase="Succeeded", continue_with=wish), run=cancelled())
    assert status_of(decided)["phase"] == "Cancelled"
    assert not any(isinstance(action, CreateRun) for action in decided.first)


def test_clean_up_that_fails_fails_the_run_with_its_error() -> None:
    driver = a_driver(phase="Failed", error={"type": "KeyError", "message": "x", "attempt": 1})
    status = status_of(decide(driver, run=cancelled()))
    assert (status["phase"], status["error"]["type"]) == ("Failed", "KeyError")


def test_clean_up_ends_when_its_grace_is_over() -> None:
    driver, task = a_driver(), a_task("a", cleanup=True)
    run = cancelled(cancelled_at=NOW - 30, cancel_grace=30)
    decided = decide(driver, a_pod(driver), task, a_pod(task), run=run)
    assert kinds(decided) == [DeletePod, DeletePod]
    assert decide(driver, a_pod(driver), run=cancelled(cancel_grace=30)).wake_at == NOW + 20


def test_grace_of_the_run_wins_over_that_of_the_app() -> None:
    app = AppSpecRecord({"entry": "a:B"}, cancel_grace=1)
    driver = a_driver()
    assert not decide(driver, a_pod(driver), run=cancelled(inline_app=app, cancel_grace=60)).then
    assert decide(driver, a_pod(driver), run=cancelled(inline_app=app)).then


def test_no_grace_ends_all_pods_at_once() -> None:
    driver, task = a_driver(), a_task("a")
    decided = decide(driver, a_pod(driver), task, a_pod(task), run=a_run(cancel=True, cancel_grace=0))
    assert status_of(decided)["phase"] == "Cancelling"
    assert "cancelledAt" not in status_of(decided)
    assert kinds(decided) == [DeletePod, DeletePod]


def test_stalled_run_is_cancelled_without_clean_up() -> None:
    task = a_task("a")
    decided = decide(a_driver(), task, a_pod(task), run=a_run(cancel=True, phase="Stalled"))
    assert kinds(decided) == [DeletePod]
    assert "cancelledAt" not in status_of(decided)


def test_route_that_stalls_while_it_cleans_up_ends_the_run_and_is_named() -> None:
    driver = a_driver(error={"type": "NonDeterministicRun", "message": "call x", "attempt": 1, "stall": "LoadFailed"})
    status = status_of(decide(driver, run=cancelled()))
    assert status["phase"] == "Cancelled"
    assert "call x" in status["message"]


def test_run_whose_route_has_done_nothing_yet_is_cancelled_without_clean_up() -> None:
    driver = a_driver()
    pod = a_pod(driver, phase="Pending", running_since=None)
    decided = decide(driver, pod, run=a_run(cancel=True))
    assert kinds(decided) == [DeletePod]
    assert "cancelledAt" not in status_of(decided)


def test_end_commits_every_call_that_was_given_up() -> None:
    driver, open_call = a_driver(phase="Failed", error={"type": "Cancelled", "message": ""}), a_task("a")
    assert kinds(decide(driver, open_call, run=cancelled())) == [PatchTask]
    done = [a_task(f"{n:04x}", phase="Cancelled") for n in range(300)]
    assert "finishedAt" not in status_of(decide(driver, *done, run=cancelled()))


def test_cancelled_run_does_not_wait_for_pods_on_dead_nodes() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver, deletion_at=NOW - 60), run=a_run(cancel=True, phase="Cancelling"))
    assert status_of(decided)["phase"] == "Cancelled"


def test_cancelled_run_waits_for_requests_under_way() -> None:
    decided = decide(a_driver(), run=a_run(cancel=True, phase="Cancelling"), in_flight={"run-driver-1-uid-run"})
    assert not any(
        action.status.get("phase") == "Cancelled" for action in decided.first if isinstance(action, PatchRun)
    )


def test_result_that_came_before_the_cancel_counts() -> None:
    decided = decide(a_driver(phase="Succeeded", output=1), run=a_run(cancel=True))
    assert (status_of(decided)["phase"], status_of(decided)["output"]) == ("Succeeded", 1)


def test_run_that_never_began_is_cancelled_with_one_write() -> None:
    run = a_run(cancel=True, app=None, inline_app=AppSpecRecord({"entry": "a:B"}), started_at=None, conditions=())
    decided = decide(run=run)
    assert status_of(decided)["phase"] == "Cancelled"
    assert not decided.then


def test_run_whose_ledger_has_lost_a_page_can_still_be_cancelled() -> None:
    run = a_run(cancel=True, pages=1, phase="Stalled")
    done = a_task("a", phase="Succeeded")
    decided = decide(a_driver(), done, run=run, missing_pages=(0,), lost_pages={0})
    assert status_of(decided)["phase"] == "Cancelled"
    assert "checkpoints" not in status_of(decided)


def test_timeout_cancels_the_route_and_then_fails_the_run_with_its_reason() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver), run=a_run(timeout_seconds=60))
    assert entries(decided) == [("cancel", "Cancelled")]
    assert status_of(decided)["conditions"][0]["reason"] == "TimedOut"
    ended = a_driver(phase="Failed", error={"type": "Cancelled", "message": ""})
    status = status_of(decide(ended, run=cancelled(cancel=False, timeout_seconds=60)))
    assert (status["phase"], status["error"]["type"]) == ("Failed", "TimedOut")


def test_timeout_that_was_written_down_stays_one_though_the_clock_is_set_back() -> None:
    driver = a_driver()
    decided = decide(driver, a_pod(driver), a_task("a"), run=cancelled(cancel=False, timeout_seconds=3600))
    assert kinds(decided) == [PatchTask]


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
