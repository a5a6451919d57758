"""What a run says of calls that can't start: one reason, one message, the counts, and few writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from tests.support.records import LIMITS, NOW, a_checkpoint, a_driver, a_pod, a_run, a_task, meta, seen

from application_sdk.wire import names
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord, Rejection
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.plan.actions import PatchRun, Plan
from apprun_operator.plan.run.reconcile import plan

QUOTA = "QuotaExceeded: pods is forbidden: exceeded quota"


def waiting(key: str, message: str = QUOTA) -> TaskRecord:
    return a_task(key, phase="Waiting", message=message)


def refused(*tasks: TaskRecord, since: float = NOW - 20) -> dict[str, Rejection]:
    return {task.pod_name: Rejection(task.pod_name, "Quota", "exceeded", since, NOW + 9) for task in tasks}


def observed(*tasks: TaskRecord, run: RunRecord | None = None, since: float = NOW - 20, **fields: Any) -> Observed:
    driver = a_driver()
    return seen(driver, a_pod(driver), *tasks, run=run, rejections=refused(*tasks, since=since), **fields)


def written(decided: Plan) -> dict[str, Any] | None:
    """The status that the run is given, if it is given one."""
    found = [action.status for action in decided.first if isinstance(action, PatchRun)]
    return cast("dict[str, Any]", found[0]) if found else None


def said(decided: Plan) -> tuple[str, str, int]:
    status = written(decided)
    assert status is not None
    (ready,) = [one for one in status["conditions"] if one["type"] == "Ready"]
    return ready["reason"], status["message"], status["tasks"]["waiting"]


def after(decided: Plan, run: RunRecord | None = None) -> RunRecord:
    """The run as it is after that write."""
    reason, message, count = said(decided)
    return replace(run or a_run(reason=reason, message=message), counts={"waiting": count})


def test_run_says_what_its_calls_wait_for() -> None:
    decided = plan(observed(waiting("b"), waiting("a", "QuotaExceeded: the first"), a_task("c")), NOW, LIMITS)
    assert said(decided) == ("QuotaExceeded", "2 of 3 open calls wait, QuotaExceeded (2): the first", 2)


def test_it_is_told_once() -> None:
    calls = [waiting("a"), waiting("b")]
    run = after(plan(observed(*calls), NOW, LIMITS))
    assert written(plan(observed(*calls, run=run), NOW, LIMITS)) is None


def test_words_and_numbers_that_change_cost_no_write() -> None:
    run = after(plan(observed(waiting("a"), waiting("b")), NOW, LIMITS))
    other = [waiting("a", "QuotaExceeded: used 17"), waiting("c"), waiting("d")]
    assert written(plan(observed(*other, run=run), NOW, LIMITS)) is None


def test_numbers_are_refreshed_along_with_a_commit() -> None:
    run = after(plan(observed(waiting("a"), waiting("b")), NOW, LIMITS))
    done = a_task("d", phase="Succeeded", digest="0" * 32, finished_at=NOW)
    assert said(plan(observed(waiting("a"), done, run=run), NOW, LIMITS))[2] == 1


def test_twice_as_many_calls_are_worth_a_write() -> None:
    run = after(plan(observed(waiting("a"), waiting("b")), NOW, LIMITS))
    assert said(plan(observed(*map(waiting, "abcd"), run=run), NOW, LIMITS))[2] == 4


def test_another_cause_is_worth_a_write_and_the_told_one_stays_first() -> None:
    run = after(plan(observed(waiting("a")), NOW, LIMITS))
    image = "ImagePullFailed: no such image"
    reason, message, _ = said(
        plan(observed(waiting("a"), waiting("b", image), waiting("c", image), run=run), NOW, LIMITS)
    )
    assert reason == "QuotaExceeded"
    assert message.startswith("3 of 3 open calls wait, ImagePullFailed (2), QuotaExceeded (1): QuotaExceeded: pods")
    assert message.endswith("; ImagePullFailed: no such image")


def test_the_most_frequent_cause_is_the_runs_reason() -> None:
    image = "ImagePullFailed: no such image"
    decided = plan(observed(waiting("a"), waiting("b", image), waiting("c", image)), NOW, LIMITS)
    assert said(decided)[0] == "ImagePullFailed"


def test_end_of_the_wait_clears_it() -> None:
    run = after(plan(observed(waiting("a")), NOW, LIMITS))
    task = a_task("a")
    driver = a_driver()
    assert said(plan(seen(driver, a_pod(driver), task, a_pod(task), run=run), NOW, LIMITS)) == ("Running", "", 0)


def test_retry_that_is_under_way_is_no_end_of_the_wait() -> None:
    run = after(plan(observed(waiting("a")), NOW, LIMITS))
    task = waiting("a")
    assert written(plan(observed(task, run=run, in_flight={task.pod_name}), NOW, LIMITS)) is None


def test_calls_that_are_about_to_say_so_are_waited_for() -> None:
    tasks = [waiting("a"), a_task("b")]
    decided = plan(observed(*tasks, since=NOW - 3), NOW, LIMITS)
    assert written(decided) is None
    assert decided.wake_at == NOW + 2
    said_since = replace(tasks[1], phase="Waiting", message=QUOTA)
    assert said(plan(observed(tasks[0], said_since, since=NOW - 6), NOW, LIMITS))[2] == 2


def test_calls_that_are_being_marked_are_waited_for() -> None:
    tasks = [waiting("a"), a_task("b")]
    name = tasks[1].meta.key.name
    assert written(plan(observed(*tasks, since=NOW - 6, in_flight={name}), NOW, LIMITS)) is None


def test_no_wait_is_held_back_for_longer_than_a_few_seconds() -> None:
    tasks = [waiting("a"), a_task("b")]
    name = tasks[1].meta.key.name
    assert said(plan(observed(*tasks, since=NOW - 9, in_flight={name}), NOW, LIMITS))[2] == 1


def test_what_concerns_the_run_as_a_whole_comes_first() -> None:
    decided = plan(observed(waiting("a"), run=a_run(suspend=True)), NOW, LIMITS)
    assert said(decided)[0] == "Suspended"


def test_driver_that_waits_for_the_same_is_told_all_the_same() -> None:
    run = after(plan(observed(waiting("a")), NOW, LIMITS))
    driver, task = a_driver(started_at=0.0), waiting("a")
    rejections = refused(driver, task)
    reason, message, _ = said(plan(seen(driver, task, run=run, rejections=rejections), NOW, LIMITS))
    assert (reason, message) == ("QuotaExceeded", "exceeded")


def pod_of(task: TaskRecord, **fields: Any) -> PodRecord:
    pod = a_pod(task, phase="Pending", running_since=None, **fields)
    return replace(pod, meta=meta(pod.meta.key.name, owner_uid=task.meta.uid, created=NOW - 20))


def test_wait_for_a_node_is_told_too() -> None:
    driver, task = a_driver(), waiting("a", "Unschedulable: no node takes the pod: 0/2 nodes")
    decided = plan(seen(driver, a_pod(driver), task, pod_of(task, unschedulable="0/2 nodes")), NOW, LIMITS)
    assert said(decided)[0] == "Unschedulable"


def test_ledger_entries_do_not_count_as_open_calls() -> None:
    run = a_run(checkpoints=(a_checkpoint(0),))
    decided = plan(observed(waiting("a"), run=run, committed_tasks={names.task_name("run", f"{0:032x}")}), NOW, LIMITS)
    assert said(decided)[1].startswith("1 of 1 open call waits, ")


def test_new_waits_without_end_keep_no_old_one_untold() -> None:
    old, new = waiting("a"), a_task("b")
    rejections = refused(old, since=NOW - 60) | refused(new, since=NOW - 1)
    decided = plan(replace(observed(old, new), rejections=rejections), NOW, LIMITS)
    assert said(decided)[0] == "QuotaExceeded"
    told = replace(observed(old, new, run=after(decided)), rejections=rejections)
    assert written(plan(told, NOW, LIMITS)) is None
