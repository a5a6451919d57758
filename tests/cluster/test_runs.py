"""Runs on a healthy cluster: what a user sees of one that works, and of one whose task fails."""

from __future__ import annotations

from tests.support.bed import ROOT, Bed
from tests.support.kube import eventually
from tests.support.runs import Runs, source


def test_hello_example_runs_unchanged(bed: Bed, runs: Runs) -> None:
    bed.run(bed.kubectl, "apply", "-n", runs.namespace, "-k", str(ROOT / "examples" / "hello"))
    waited = bed.run(
        *(bed.kubectl, "wait", "-n", runs.namespace, "apprun/hello", "--for=condition=Succeeded", "--timeout=60s")
    )
    assert "condition met" in waited.stdout
    status = runs.status("hello")
    assert status["output"] == {"message": "Hello, World!"}
    assert [entry["task"] for entry in status["checkpoints"]] == ["create_greeting"]


def test_a_fan_out_runs_each_task_once_in_call_order(runs: Runs) -> None:
    runs.start("wide", "probe", {"before": 1, "width": 6, "after": 1})
    status = runs.until_phase("wide", "Succeeded", "Failed")
    assert status["output"] == {"names": ["before-0", *(f"wide-{i}" for i in range(6)), "after-0"]}
    ledger = runs.checkpoints("wide")
    assert [entry["sequence"] for entry in ledger] == list(range(8))
    assert runs.witnesses() == {entry["key"]: 1 for entry in ledger}


def test_failing_task_is_retried_as_declared_and_then_succeeds(runs: Runs) -> None:
    runs.app("catching", "app:Catching", serviceAccountName="probe", source=source("probe"))
    runs.start("flaky", "catching", {"name": "flaky", "fail_attempts": 2})
    status = runs.until_phase("flaky", "Succeeded", "Failed")
    assert status["output"] == {"caught": "", "attempts": 0}
    (task,) = runs.tasks("flaky")
    assert [(a["attempt"], a["budget"]) for a in task["status"]["attempts"]] == [(1, "App"), (2, "App")]
    assert task["status"]["attempt"] == 3
    assert runs.checkpoints("flaky")[0]["attempts"] == 3


def test_exhausted_retries_reach_the_route_as_an_error(runs: Runs) -> None:
    runs.app("catching", "app:Catching", serviceAccountName="probe", source=source("probe"))
    runs.start("hopeless", "catching", {"name": "doomed", "fail_attempts": 99})
    status = runs.until_phase("hopeless", "Succeeded", "Failed")
    assert "doomed fails in attempt 3" in status["output"]["caught"]
    assert status["output"]["attempts"] == 3


def test_permanent_error_is_not_retried_and_fails_the_run(runs: Runs) -> None:
    runs.app("catching", "app:Catching", serviceAccountName="probe", source=source("probe"))
    runs.start("permanent", "catching", {"name": "never", "permanent": True})
    status = runs.until_phase("permanent", "Succeeded", "Failed")
    assert "never can never work" in status["output"]["caught"]
    assert runs.checkpoints("permanent")[0]["attempts"] == 1


def test_get_shows_a_runs_state_at_a_glance(bed: Bed, runs: Runs) -> None:
    runs.start("glance", "probe", {"before": 1, "width": 0, "after": 0})
    runs.until_phase("glance", "Succeeded")
    shown = bed.run(bed.kubectl, "get", "apprun,apptask", "-n", runs.namespace).stdout
    run_line = next(line for line in shown.splitlines() if line.startswith("apprun.apprun.dev/glance"))
    assert "Succeeded" in run_line
    task_lines = [line for line in shown.splitlines() if line.startswith("apptask.apprun.dev/glance-")]
    assert any("step" in line and "Succeeded" in line for line in task_lines)


def test_finished_run_leaves_no_pods(runs: Runs) -> None:
    runs.start("tidy", "probe", {"before": 1, "width": 2, "after": 0})
    runs.until_phase("tidy", "Succeeded")
    eventually("all pods of the run are gone", lambda: not runs.pods("tidy") or None)


def test_deleting_a_run_removes_everything_it_made(runs: Runs) -> None:
    runs.start("gone", "probe", {"before": 1, "width": 4, "after": 0, "seconds": 60})
    runs.until_committed("gone", 1)
    runs.kube.delete(f"{runs.api}/appruns/gone", propagationPolicy="Background")

    def nothing_left() -> bool | None:
        selector = "labelSelector=apprun.dev/run=gone"
        left = runs.pods("gone") + runs.kube.items(f"{runs.api}/apptasks?{selector}")
        return not left or None

    eventually("pods and tasks of the deleted run are collected", nothing_left)
