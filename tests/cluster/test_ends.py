"""Ends and pauses that people ask for: cancel, timeout, suspend, fewer or more pods, deletion, and `continue_with`."""

from __future__ import annotations

import pytest
from tests.support.kube import ApiError, Object, eventually
from tests.support.runs import Runs, source


@pytest.fixture(autouse=True)
def apps(runs: Runs) -> None:
    for name, entry in (("tidy", "app:Tidy"), ("chain", "app:Chain")):
        runs.app(name, entry, source=source("probe"), serviceAccountName="probe")


def change(runs: Runs, run: str, **spec: object) -> None:
    runs.kube.merge(f"{runs.api}/appruns/{run}", {"spec": spec})


def until_pods_run(runs: Runs, run: str, count: int = 1) -> list[Object]:
    """Wait until so many task pods of the run are at work."""

    def working() -> list[Object] | None:
        found = [
            pod
            for pod in runs.pods(run)
            if pod["metadata"]["labels"]["apprun.dev/role"] == "task" and pod["status"].get("phase") == "Running"
        ]
        return found if len(found) >= count else None

    return eventually(f"{count} tasks of {run} are at work", working)


def story(runs: Runs, run: str) -> list[tuple[str, str]]:
    """The ledger as (name of the step, outcome)."""
    names = {task["spec"]["key"]: task["spec"]["input"]["name"] for task in runs.tasks(run)}
    return [(names.get(entry["key"], entry["key"]), entry["outcome"]) for entry in runs.checkpoints(run)]


def until_no_pods(runs: Runs, run: str) -> None:
    eventually(f"no pod of {run} is left", lambda: not runs.pods(run) or None)


def test_cancelled_run_stops_its_tasks_cleans_up_and_ends(runs: Runs) -> None:
    runs.start("stop", "tidy")
    until_pods_run(runs, "stop")
    change(runs, "stop", cancel=True)
    status = runs.until_phase("stop", "Cancelled", "Succeeded", "Failed")
    assert status["phase"] == "Cancelled"
    ended = dict(story(runs, "stop"))
    assert ended == {"cancel": "Cancelled", "work": "Cancelled", "undo": "Succeeded", "last": "Succeeded"}
    assert sum(runs.witnesses().values()) == 2, "the stopped task went on to its end, or clean-up ran twice"
    assert (status["tasks"]["cancelled"], status["tasks"]["succeeded"]) == (1, 2)
    (work,) = [task for task in runs.tasks("stop") if task["spec"]["input"]["name"] == "work"]
    assert [(a["reason"], a["budget"]) for a in work["status"]["attempts"]] == [("Cancelled", "None")]
    until_no_pods(runs, "stop")


def test_a_result_reported_without_an_operator_is_committed(runs: Runs) -> None:
    runs.start("late", "tidy", {"stubborn": True})
    # Only once the body runs can it be stubborn: a process that starts is stopped like any other.
    eventually("the task is at work", lambda: any("progress" in task.get("status", {}) for task in runs.tasks("late")))
    change(runs, "late", cancel=True)
    assert runs.until_phase("late", "Cancelled", "Succeeded", "Failed")["phase"] == "Cancelled"
    assert dict(story(runs, "late"))["work"] == "Succeeded"


def test_driver_that_dies_during_the_clean_up_goes_on_with_it(runs: Runs) -> None:
    runs.start("twice", "tidy", {"undo": 8})
    until_pods_run(runs, "twice")
    change(runs, "twice", cancel=True)
    eventually("the clean-up is called", lambda: len(runs.tasks("twice")) == 2 or None)
    runs.kube.delete(f"{runs.core}/pods/{runs.driver_pod('twice')}", gracePeriodSeconds=0)
    assert runs.until_phase("twice", "Cancelled", "Succeeded", "Failed")["phase"] == "Cancelled"
    assert set(runs.witnesses().values()) == {1}
    assert [entry for entry in story(runs, "twice") if entry[0] == "cancel"] == [("cancel", "Cancelled")]


def test_clean_up_that_takes_longer_than_its_grace_is_ended(runs: Runs) -> None:
    runs.start("hang", "tidy", {"undo": 300}, cancelGraceSeconds=8)
    until_pods_run(runs, "hang")
    change(runs, "hang", cancel=True)
    assert runs.until_phase("hang", "Cancelled", "Succeeded", "Failed")["phase"] == "Cancelled"
    assert ("undo", "Cancelled") in story(runs, "hang")
    until_no_pods(runs, "hang")


def test_a_run_out_of_time_cleans_up_and_fails(runs: Runs) -> None:
    runs.start("slow", "tidy", timeoutSeconds=20)  # the driver has to be at work by then, on a busy machine too
    status = runs.until_phase("slow", "Cancelled", "Succeeded", "Failed")
    assert (status["phase"], status["error"]["type"]) == ("Failed", "TimedOut")
    assert "timeoutSeconds (20 s)" in status["message"]
    assert ("undo", "Succeeded") in story(runs, "slow")


def test_cancel_cannot_be_taken_back(runs: Runs) -> None:
    runs.start("sure", "tidy", cancel=True)
    with pytest.raises(ApiError, match="can't be taken back"):
        change(runs, "sure", cancel=False)
    assert runs.until_phase("sure", "Cancelled", "Succeeded")["phase"] == "Cancelled"
    assert not runs.tasks("sure")


def test_a_suspended_run_starts_no_pods_until_resumed(runs: Runs) -> None:
    runs.start("pause", "probe", {"before": 0, "width": 4, "after": 0, "seconds": 8}, parallelism=2)
    until_pods_run(runs, "pause", 2)
    change(runs, "pause", suspend=True)
    runs.until_committed("pause", 2)
    assert runs.until_phase("pause", "Suspended")["phase"] == "Suspended"
    eventually("the finished pods are gone", lambda: len(runs.pods("pause")) == 1 or None)
    assert sum(runs.witnesses().values()) == 2
    change(runs, "pause", suspend=False)
    assert runs.until_phase("pause", "Succeeded", "Failed")["phase"] == "Succeeded"
    assert sum(runs.witnesses().values()) == 4


def test_parallelism_changes_without_ending_pods(runs: Runs) -> None:
    runs.start("wider", "probe", {"before": 0, "width": 6, "after": 0, "seconds": 10}, parallelism=1)
    until_pods_run(runs, "wider", 1)
    assert len([pod for pod in runs.pods("wider") if pod["metadata"]["labels"]["apprun.dev/role"] == "task"]) == 1
    change(runs, "wider", parallelism=5)
    until_pods_run(runs, "wider", 4)
    change(runs, "wider", parallelism=1)
    assert runs.until_phase("wider", "Succeeded", "Failed")["phase"] == "Succeeded"
    assert set(runs.witnesses().values()) == {1}
    assert all("attempts" not in task["status"] for task in runs.tasks("wider"))


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_deleted_run_leaves_nothing(runs: Runs, policy: str) -> None:
    runs.start("gone", "probe", {"before": 1, "width": 3, "after": 0, "seconds": 60})
    until_pods_run(runs, "gone", 3)
    runs.kube.delete(f"{runs.api}/appruns/gone", propagationPolicy=policy)

    def nothing_left() -> bool | None:
        selector = "labelSelector=apprun.dev/run=gone"
        left = [*runs.pods("gone"), *runs.kube.items(f"{runs.api}/apptasks?{selector}")]
        return (not left and runs.kube.find(f"{runs.api}/appruns/gone") is None) or None

    eventually("run, tasks and pods are gone", nothing_left, 90)


def test_orphaned_tasks_take_no_report_and_may_be_deleted(runs: Runs) -> None:
    """Whose they are can't be told any more, and nobody is left who would want their results."""
    runs.start("leave", "probe", {"before": 0, "width": 2, "after": 1, "seconds": 8})
    until_pods_run(runs, "leave", 2)
    runs.kube.delete(f"{runs.api}/appruns/leave", propagationPolicy="Orphan")

    def over() -> bool | None:
        return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in runs.pods("leave")) or None

    eventually("the pods have ended", over)
    assert {task["status"]["phase"] for task in runs.tasks("leave")} == {"Active"}
    assert sum(runs.witnesses().values()) == 2, "something new was started"
    for task in [*runs.tasks("leave"), *runs.tasks("leave", "driver")]:
        runs.kube.delete(f"{runs.api}/apptasks/{task['metadata']['name']}")
    until_no_pods(runs, "leave")


def test_a_run_with_a_used_name_says_what_blocks_it(runs: Runs) -> None:
    runs.start("again", "probe", {"before": 0, "width": 1, "after": 0, "seconds": 300})
    until_pods_run(runs, "again")
    runs.kube.delete(f"{runs.api}/appruns/again", propagationPolicy="Orphan")
    eventually("the run is gone", lambda: runs.kube.find(f"{runs.api}/appruns/again") is None or None)
    runs.start("again", "probe", {"before": 0, "width": 0, "after": 0})
    status = runs.until_phase("again", "Stalled")
    assert "again-driver" in status["message"]
    for task in [*runs.tasks("again"), *runs.tasks("again", "driver")]:
        runs.kube.delete(f"{runs.api}/apptasks/{task['metadata']['name']}")
    assert runs.until_phase("again", "Succeeded", "Failed")["phase"] == "Succeeded"


def test_run_continues_as_new_ones_with_the_same_correlation_id(runs: Runs) -> None:
    runs.start("link", "chain", {"width": 2})
    uid = runs.get("link")["metadata"]["uid"]
    status = runs.until_phase("link", "Succeeded", "Failed")
    condition = next(c for c in status["conditions"] if c["type"] == "Succeeded")
    assert (status["phase"], condition["reason"]) == ("Succeeded", "Continued")
    second = status["continuedAs"]
    third = runs.until_phase(second, "Succeeded", "Failed")["continuedAs"]
    last = runs.until_phase(third, "Succeeded", "Failed")
    assert last["output"] == {"names": [uid]}
    assert "continuedAs" not in last
    chain = runs.kube.items(f"{runs.api}/appruns?labelSelector=apprun.dev/chain=link")
    assert sorted(run["metadata"]["name"] for run in chain) == sorted([second, third])
    assert sum(runs.witnesses().values()) == 3
