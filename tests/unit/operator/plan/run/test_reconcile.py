"""The plan as a whole: what one pass asks for, in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, RUN, a_checkpoint, a_driver, a_pod, a_run, a_task, meta, seen

from application_sdk.wire.fields import MAX_HEARTBEAT_BYTES, MAX_PAYLOAD_BYTES, TAIL_LIMIT
from application_sdk.wire.size import travelling_size
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.observed import Observed, PodQuota
from apprun_operator.observe.pods import Rejection
from apprun_operator.observe.records import AppSpecRecord, RunRecord
from apprun_operator.plan.actions import (
    CreatePage,
    CreatePod,
    CreateTask,
    DeletePod,
    EnsureNamespace,
    FetchPage,
    FetchTask,
    PatchRun,
    PatchTask,
    Plan,
    PodDemand,
)
from apprun_operator.plan.run.reconcile import plan

INLINE = AppSpecRecord({"entry": "app:App"})


def new_run(**fields: Any) -> RunRecord:
    """A run that the operator has never written to."""
    defaults: dict[str, Any] = {"inline_app": INLINE, "app_ref": "", "app": None, "phase": "Pending", "conditions": ()}
    return a_run(**{**defaults, "started_at": None, "observed_generation": -1, "replay_rules": 0, **fields})


def decide(observed: Observed, now: float = NOW) -> Plan:
    return plan(observed, now, LIMITS)


def status_of(decided: Plan) -> dict[str, Any]:
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    return dict(patch.status)


def conditions_of(decided: Plan) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status_of(decided)["conditions"]}


def test_run_begins_with_one_status_write_then_its_driver() -> None:
    decided = decide(seen(run=new_run(), namespace_ready=False))
    assert [type(action) for action in decided.first] == [PatchRun, EnsureNamespace]
    assert [type(action) for action in decided.then] == [CreateTask]
    status = status_of(decided)
    assert status["phase"] == "Running"
    assert "replayRules" not in status  # The SDK of the run's image decides on them, and its calls tell.
    assert status["app"]["image"] == "runtime:1"
    assert set(conditions_of(decided)) == {"Ready", "Reconciling", "Stalled", "Succeeded"}


def test_run_of_an_app_resolves_it_once_and_keeps_it() -> None:
    app = AppRecord(meta("app", generation=7), AppSpecRecord({"entry": "m:C", "image": "mine"}))
    run = new_run(inline_app=None, app_ref="app")
    assert status_of(decide(seen(run=run, app=app)))["app"]["generation"] == 7
    changed = AppRecord(meta("app", generation=8), AppSpecRecord({"entry": "m:C", "image": "other"}))
    driver = a_driver()
    assert not decide(seen(driver, a_pod(driver), app=changed)).first


def test_unknown_app_stalls_with_what_to_do_after_a_moment() -> None:
    run = new_run(inline_app=None, app_ref="nowhere", meta=meta(RUN, created=NOW - 1))
    assert decide(seen(run=run)) == Plan(wake_at=NOW + 2)
    decided = decide(seen(run=run), NOW + 2)
    assert conditions_of(decided)["Stalled"] == ("True", "AppNotFound")
    assert "'nowhere' doesn't exist in namespace 'default'" in status_of(decided)["message"]
    assert not decided.then


def test_stalled_run_is_not_written_again_and_again() -> None:
    run = new_run(inline_app=None, app_ref="nowhere")
    status = status_of(decide(seen(run=run)))
    told = replace(a_run(phase="Stalled", reason="AppNotFound", message=status["message"]), app=None, app_ref="nowhere")
    assert decide(seen(run=told)) == Plan()


def test_run_begins_when_its_app_comes() -> None:
    run = a_run(phase="Stalled", reason="AppNotFound", message="…", app=None, inline_app=None, app_ref="app")
    decided = decide(seen(run=run, app=AppRecord(meta("app"), INLINE)))
    assert status_of(decided)["phase"] == "Running"


def test_driver_pod_follows_the_drivers_apptask() -> None:
    (action,) = decide(seen(a_driver())).then
    assert isinstance(action, CreatePod)
    assert action.pod.name == "run-driver-1-uid-run"


def test_pods_are_not_created_before_the_namespace_is_ready() -> None:
    decided = decide(seen(a_driver(), namespace_ready=False))
    assert [type(action) for action in decided.first] == [EnsureNamespace]
    assert len(decided.then) == 1


def test_calls_start_in_the_routes_order_up_to_the_runs_parallelism() -> None:
    driver = a_driver()
    calls = [a_task(key, sequence=n) for n, key in enumerate("fedcba")]
    busy = a_task("9", sequence=0)
    things = [driver, a_pod(driver), *calls, busy, a_pod(busy)]
    decided = decide(seen(*things, run=a_run(parallelism=3)))
    assert [action.pod.name[4] for action in decided.then if isinstance(action, CreatePod)] == ["f", "e"]


def test_the_operators_limit_for_a_run_is_above_its_own_parallelism() -> None:
    limits = replace(LIMITS, max_pods_per_run=1)
    decided = plan(seen(a_driver(), a_task("a"), a_task("b"), run=a_run(parallelism=9)), NOW, limits)
    assert len(created(decided)) == 2, "the driver, and one task"


def created(decided: Plan) -> list[CreatePod]:
    return [action for action in decided.then if isinstance(action, CreatePod)]


def waiting_for_its_turn(age: float, *things: Any, **fields: Any) -> Plan:
    """Decide for a run of parallelism 1 with one task at work and one that has waited for so long."""
    driver, busy = a_driver(), a_task("9")
    name = a_task("a").meta.key.name
    late = a_task("a", meta=meta(name, owner_uid="uid-run", created=NOW - age))
    run = a_run(**{"parallelism": 1, **fields})
    return decide(seen(driver, a_pod(driver), busy, a_pod(busy), late, *things, run=run))


def test_call_that_waits_long_for_its_turn_makes_its_run_say_what_for() -> None:
    status = status_of(waiting_for_its_turn(11))
    assert status["message"] == "calls wait for their turn: parallelism is 1"
    assert (status["phase"], status["tasks"]["queued"]) == ("Running", 1)


def test_short_wait_for_a_turn_costs_no_write() -> None:
    decided = waiting_for_its_turn(3)
    assert not decided.first
    assert decided.wake_at == NOW + 7


def test_wait_for_a_turn_is_told_along_with_a_commit() -> None:
    status = status_of(waiting_for_its_turn(3, a_task("b", phase="Succeeded")))
    assert status["message"].startswith("calls wait for their turn")
    assert status["tasks"]["queued"] == 1


def test_wait_for_a_turn_is_told_once() -> None:
    assert not waiting_for_its_turn(60, message="calls wait for their turn: parallelism is 1", reason="Running").first


def test_message_about_a_wait_goes_when_nothing_waits() -> None:
    driver = a_driver()
    run = a_run(message="calls wait for their turn: parallelism is 1", reason="Running")
    assert status_of(decide(seen(driver, a_pod(driver), run=run)))["message"] == ""


def test_room_that_other_runs_leave_bounds_the_starts() -> None:
    driver = a_driver()
    calls = [a_task(key) for key in "abc"]
    decided = decide(
        seen(driver, a_pod(driver), *calls, pod_quota=PodQuota(1, "the operator allows 9 task pods at a time"))
    )
    assert len(created(decided)) == 1
    assert decided.demand == PodDemand(occupied=1, wanted=3)
    message = status_of(decided)["message"]
    assert message == "calls wait for their turn: the operator allows 9 task pods at a time"


def test_driver_needs_no_room() -> None:
    decided = decide(seen(a_driver(), a_task("a"), pod_quota=PodQuota(0, "full")))
    assert [action.pod.name for action in created(decided)] == ["run-driver-1-uid-run"]


def test_run_puts_only_so_many_pods_into_the_schedulers_queue() -> None:
    driver = a_driver()
    calls = [a_task(f"{n:04x}") for n in range(60)]
    unplaced = [
        a_pod(task, phase="Pending", running_since=None, node="", unschedulable="no room") for task in calls[:49]
    ]
    decided = decide(seen(driver, a_pod(driver), *calls, *unplaced, run=a_run(parallelism=100)))
    assert len(created(decided)) == 1
    assert "50 pods of the run wait for a node" in status_of(decided)["message"]


def test_pods_behind_scheduling_gates_keep_no_other_pod_back() -> None:
    driver = a_driver()
    calls = [a_task(f"{n:04x}") for n in range(120)]
    gated = [a_pod(task, phase="Pending", running_since=None, node="", gates="queue") for task in calls[:80]]
    decided = decide(seen(driver, a_pod(driver), *calls, *gated, run=a_run(parallelism=100)))
    assert len(created(decided)) == 20


def test_pods_count_as_unplaced_before_the_scheduler_answers() -> None:
    driver = a_driver()
    calls = [a_task(f"{n:04x}") for n in range(120)]
    pending = [a_pod(task, phase="Pending", running_since=None, node="") for task in calls[:30]]
    being_created = [task.pod_name for task in calls[30:45]]
    placed = [a_pod(task, phase="Pending", running_since=None) for task in calls[45:55]]
    observed = seen(
        driver, a_pod(driver), *calls, *pending, *placed, run=a_run(parallelism=200), in_flight=set(being_created)
    )
    assert len(created(decide(observed))) == 5


def test_suspended_run_answers_attempts_that_end_and_lets_timers_fire() -> None:
    failed = a_task("a", error={"type": "ValueError", "message": "no", "attempt": 1})
    timer = a_task("b", role="timer", seconds=1.0)
    decided = decide(seen(a_driver(), failed, timer, run=a_run(suspend=True)))
    answers = [action.status for action in decided.then if isinstance(action, PatchTask)]
    assert [(answer["phase"], answer.get("attempt")) for answer in answers] == [("Active", 2), ("Succeeded", None)]
    assert not created(decided)


def test_suspended_run_whose_pods_run_is_not_disturbed() -> None:
    driver, busy = a_driver(), a_task("9")
    assert not decide(seen(driver, a_pod(driver), busy, a_pod(busy), run=a_run(suspend=True))).then


def test_suspended_run_claims_no_more_than_it_has() -> None:
    driver, busy = a_driver(), a_task("9")
    decided = decide(seen(driver, a_pod(driver), busy, a_pod(busy), a_task("a"), run=a_run(suspend=True)))
    assert decided.demand == PodDemand(1, 1)


def test_finished_run_claims_nothing() -> None:
    assert decide(seen(run=a_run(phase="Succeeded", finished_at=NOW))).demand == PodDemand()


def test_pod_that_is_being_created_takes_a_slot() -> None:
    driver, one, two = a_driver(), a_task("a"), a_task("b")
    observed = seen(driver, a_pod(driver), one, two, run=a_run(parallelism=1), in_flight={one.pod_name})
    assert not decide(observed).then


def test_commit_comes_before_anything_else_and_waits_for_no_pod() -> None:
    driver, done, waiting = a_driver(), a_task("a", phase="Succeeded", digest="d"), a_task("b")
    decided = decide(seen(driver, a_pod(driver), done, a_pod(done), waiting))
    assert [type(action) for action in decided.first] == [PatchRun]
    assert status_of(decided)["checkpoints"][0]["key"] == done.key
    assert [type(action) for action in decided.then] == [CreatePod]


def test_commit_carries_the_version_that_it_was_planned_with() -> None:
    driver, done = a_driver(), a_task("a", phase="Succeeded")
    run = a_run(meta=meta(RUN, version=4711, uid="u"))
    observed = seen(driver, done, run=run)
    observed = replace(
        observed, tasks={n: replace(t, meta=replace(t.meta, owner_uid="u")) for n, t in observed.tasks.items()}
    )
    (patch,) = decide(observed).first
    assert isinstance(patch, PatchRun)
    assert (patch.version, patch.commits) == (4711, 1)


def test_page_is_created_before_the_status_lets_go_of_its_entries() -> None:
    run = a_run(checkpoints=tuple(a_checkpoint(n) for n in range(256)))
    decided = decide(seen(a_driver(), a_task("a", phase="Succeeded"), run=run))
    assert [type(action) for action in decided.first] == [CreatePage, PatchRun]


def test_pods_of_committed_calls_are_deleted_last() -> None:
    driver, done, new = a_driver(), a_task("a"), a_task("b")
    settled = {done.meta.key.name}
    decided = decide(seen(driver, a_pod(driver), new, a_pod(done), committed_tasks=settled))
    assert [type(action) for action in decided.then] == [CreatePod, DeletePod]


def test_pod_of_a_committed_call_is_deleted_once() -> None:
    driver, done = a_driver(), a_task("a")
    pod = a_pod(done, deletion_at=NOW + 30)
    assert not decide(seen(driver, a_pod(driver), pod, committed_tasks={done.meta.key.name})).then


def test_unknown_pages_are_read_first() -> None:
    done = a_task("a", phase="Succeeded")
    decided = decide(seen(a_driver(), done, run=a_run(pages=2), missing_pages=(0, 1)))
    assert decided == Plan(first=[FetchPage(a_run().meta.key, 0), FetchPage(a_run().meta.key, 1)])


def test_lost_page_stalls_the_run_and_says_so() -> None:
    decided = decide(seen(a_driver(), run=a_run(pages=1), missing_pages=(0,), lost_pages={0}))
    assert conditions_of(decided)["Stalled"] == ("True", "LedgerUnreadable")
    assert "run-0" in status_of(decided)["message"]


def test_output_of_the_route_ends_the_run() -> None:
    decided = decide(seen(a_driver(phase="Succeeded", output={"x": None})))
    (patch,) = decided.first
    assert isinstance(patch, PatchRun)
    assert patch.exact, "a merge would drop the null in the output"
    assert patch.status["output"] == {"x": None}
    assert conditions_of(decided)["Ready"] == ("True", "Succeeded")


def test_run_ends_only_after_all_that_was_reported_is_committed() -> None:
    many = [a_task(f"{n:04x}", phase="Succeeded") for n in range(300)]
    status = status_of(decide(seen(a_driver(phase="Succeeded"), *many)))
    assert len(status["checkpoints"]) == TAIL_LIMIT
    assert "phase" not in status


def test_error_of_the_route_fails_the_run() -> None:
    error = {"type": "ValueError", "message": "no rows", "traceback": "…"}
    status = status_of(decide(seen(a_driver(phase="Failed", error=error))))
    assert (status["phase"], status["message"], status["error"]) == ("Failed", "no rows", error)


def test_driver_is_restored_only_after_proof_that_the_run_exists() -> None:
    decided = decide(seen())
    assert [type(action) for action in decided.first] == [PatchRun]
    assert [type(action) for action in decided.then] == [CreateTask]


def test_driver_whose_name_is_taken_stalls_the_run_with_what_is_in_the_way() -> None:
    rejection = Rejection("run-driver", "NameTaken", "AppTask 'run-driver' is left: delete it", NOW, NOW + 4)
    decided = decide(seen(rejections={"run-driver": rejection}))
    assert status_of(decided)["phase"] == "Stalled"
    assert "delete it" in status_of(decided)["message"]
    assert (list(decided.then), decided.wake_at) == ([], NOW + 4)


def test_committed_task_that_is_not_known_is_looked_for_before_anything_is_done() -> None:
    decided = decide(seen(a_driver(), a_task("a"), unseen_tasks=("run-x",)))
    assert decided.first == (FetchTask(a_run().meta.key, "run-x"),)
    assert not decided.then


@pytest.mark.parametrize(("field", "words"), [("lost_tasks", "run-x is gone"), ("altered_tasks", "run-x was altered")])
def test_committed_task_that_was_meddled_with_stalls_the_run_and_starts_nothing(field: str, words: str) -> None:
    things = [a_driver(), a_task("a"), a_task("b", phase="Succeeded")]
    decided = decide(seen(*things, unseen_tasks=("run-x",), **{field: {"run-x"}}))
    status = status_of(decided)
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Stalled", "LedgerUnreadable")
    assert words in status["message"]
    assert not decided.then


def test_run_with_a_lost_task_can_still_be_cancelled() -> None:
    run = a_run(cancel=True, phase="Stalled")
    decided = decide(seen(a_driver(), run=run, unseen_tasks=("run-x",), lost_tasks={"run-x"}))
    assert status_of(decided)["phase"] == "Cancelled"


def test_pod_that_takes_long_to_start_is_looked_at_again_when_its_time_is_over() -> None:
    driver, task = a_driver(), a_task("a")
    pod = a_pod(task, phase="Pending", running_since=None, waiting_reason="ContainerCreating")
    due = pod.meta.created + LIMITS.pending_timeout
    assert decide(seen(driver, a_pod(driver), task, pod)).wake_at == due
    (action,) = plan(seen(driver, a_pod(driver), task, pod), due, LIMITS).then
    assert isinstance(action, PatchTask)
    assert action.status["attempts"][0]["reason"] == "NotStarted"


def test_deleted_run_is_left_to_the_garbage_collector() -> None:
    assert decide(seen(a_driver(), run=a_run(meta=meta(RUN, deleting=True)))) == Plan()


def test_suspended_run_starts_nothing_but_commits() -> None:
    driver, done, waiting = a_driver(), a_task("a", phase="Succeeded"), a_task("b")
    decided = decide(seen(driver, done, waiting, run=a_run(suspend=True)))
    assert status_of(decided)["phase"] == "Suspended"
    assert len(status_of(decided)["checkpoints"]) == 1
    assert not decided.then


def test_run_that_is_suspended_from_the_start_does_not_begin() -> None:
    decided = decide(seen(run=new_run(suspend=True)))
    assert status_of(decided)["phase"] == "Suspended"
    assert not decided.then


def test_run_with_a_part_that_cannot_be_read_says_which_and_is_left_alone() -> None:
    things = [a_driver(), a_task("a"), a_task("b", phase="Succeeded")]
    unreadable = {"AppTask run-x": "phase 'Hibernating' is unknown to this version"}
    decided = decide(seen(*things, unreadable=unreadable))
    status = status_of(decided)
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Stalled", "Unreadable")
    assert "AppTask run-x: phase 'Hibernating'" in status["message"]
    assert "checkpoints" not in status
    assert not decided.then


def test_run_with_a_part_that_cannot_be_read_can_be_cancelled() -> None:
    unreadable = {"AppTask run-x": "phase 'Hibernating' is unknown to this version"}
    decided = decide(seen(a_driver(), run=a_run(cancel=True), unreadable=unreadable))
    assert status_of(decided)["phase"] in ("Cancelling", "Cancelled")


def test_app_that_cannot_be_read_is_named() -> None:
    app = AppRecord(meta("app"), None, problem="spec.entry is missing")
    decided = decide(seen(run=new_run(inline_app=None, app_ref="app"), app=app))
    assert conditions_of(decided)["Stalled"] == ("True", "Unreadable")
    assert "App 'app': spec.entry is missing" in status_of(decided)["message"]


def test_object_that_cannot_be_read_is_marked_once_and_left_alone() -> None:
    run = RunRecord(meta(RUN), problem="status.phase 'Frozen' is unknown")
    decided = decide(seen(run=run))
    assert set(status_of(decided)) == {"conditions"}
    message = status_of(decided)["conditions"][2]["message"]
    marked = replace(a_run(phase="Stalled", message=message), problem=run.problem)
    marked = replace(marked, conditions=tuple(replace(c, message=message) for c in marked.conditions))
    assert decide(seen(run=marked)) == Plan()


def test_timeout_is_remembered_while_the_run_goes_on() -> None:
    driver = a_driver()
    assert decide(seen(driver, a_pod(driver), run=a_run(timeout_seconds=100))).wake_at == NOW + 40


@pytest.mark.parametrize("order", [1, -1])
def test_same_world_gives_the_same_plan_whatever_its_order(order: int) -> None:
    driver = a_driver()
    things = [driver, a_pod(driver), *(a_task(key) for key in "abc"), *(a_task(key, phase="Failed") for key in "def")]
    assert decide(seen(*things[::order])) == decide(seen(*things))


def test_finished_calls_of_the_route_cost_nothing_more() -> None:
    driver = a_driver()
    done = a_task("a", phase="Succeeded")
    run = a_run(checkpoints=(a_checkpoint(0, key=done.key),))
    assert decide(seen(driver, a_pod(driver), done, run=run)) == Plan()


def test_timer_is_completed_when_due_and_needs_no_pod() -> None:
    driver = a_driver()
    timer = a_task("a", role="timer", seconds=5, seen_at=NOW - 9)
    decided = decide(seen(driver, a_pod(driver), timer))
    assert [type(action) for action in decided.then] == [PatchTask]


def test_input_that_no_pod_takes_starts_none() -> None:
    decided = decide(seen(run=new_run(input={"text": '"' * (120 * 1024)})))
    assert conditions_of(decided)["Stalled"] == ("True", "InvalidInput")
    assert "spec.input is 240.0 KiB of JSON, the limit is 240 KiB" in status_of(decided)["message"]
    assert not decided.then


def test_largest_input_with_the_largest_heartbeat_fits_a_pods_annotations() -> None:
    rest = len('{"text":""}')
    text = ('"\u0001é' * MAX_PAYLOAD_BYTES)[: (MAX_PAYLOAD_BYTES - rest) * 3 // 10]
    given: dict[str, Any] = {"text": text}
    assert MAX_PAYLOAD_BYTES - 10 <= travelling_size(given) <= MAX_PAYLOAD_BYTES
    beat = {"text": "x" * (MAX_HEARTBEAT_BYTES - rest)}
    driver, task = a_driver(), a_task("a", input=given, heartbeat=beat, attempt=2)
    (pod,) = [action for action in decide(seen(driver, a_pod(driver), task)).then if isinstance(action, CreatePod)]
    annotations: dict[str, str] = pod.body["metadata"]["annotations"]  # type: ignore[index,call-overload,assignment]
    # Kubernetes counts keys and values, in bytes of UTF-8.
    assert sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) <= 256 * 1024
