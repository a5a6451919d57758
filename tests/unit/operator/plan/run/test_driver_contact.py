"""A driver that runs in silence, or whose route doesn't yield, is told on its run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.records import LIMITS, NOW, a_checkpoint, a_driver, a_pod, a_run, a_task, meta, seen
from tests.unit.operator.plan.run.test_waiting import said, written

from application_sdk.wire import names
from application_sdk.wire.pod import EXIT_NOT_ALLOWED
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import EnsureNamespace, PatchTask, Plan
from apprun_operator.plan.run.reconcile import plan


def silent(age: float, *things: TaskRecord | PodRecord, run: RunRecord | None = None, **fields: Any) -> Observed:
    """A driver whose pod has run for so long, and of which nothing was heard."""
    driver = a_driver(started_at=0.0)
    pod = a_pod(driver, running_since=NOW - age)
    pod = replace(pod, meta=replace(pod.meta, created=NOW - age))
    return seen(driver, pod, *things, run=run, **{"ensured_at": NOW - 600, **fields})


def ensures(decided: Plan) -> bool:
    return any(isinstance(action, EnsureNamespace) for action in decided.first)


def test_driver_that_stays_silent_is_told_after_a_minute() -> None:
    reason, message, _ = said(plan(silent(61), NOW, LIMITS))
    assert reason == "NoContact"
    assert "pod 'run-driver-1-uid-run' runs on node node1, but has not reached the API server" in message
    assert "apprun doctor -n default" in message


def test_it_is_told_once() -> None:
    reason, message, _ = said(plan(silent(61), NOW, LIMITS))
    run = a_run(reason=reason, message=message)
    assert written(plan(silent(90, run=run), NOW, LIMITS)) is None


def test_young_driver_is_looked_at_again_when_it_should_have_spoken() -> None:
    decided = plan(silent(4), NOW, LIMITS)
    assert (written(decided), ensures(decided), decided.wake_at) == (None, False, NOW + 16)


def test_bindings_are_ensured_again_before_anything_is_told() -> None:
    decided = plan(silent(21), NOW, LIMITS)
    assert (written(decided), ensures(decided)) == (None, True)


def test_they_are_not_ensured_again_and_again() -> None:
    decided = plan(silent(21, ensured_at=NOW - 1), NOW, LIMITS)
    assert (ensures(decided), decided.wake_at) == (False, NOW + 29)


def test_first_word_of_the_driver_clears_it() -> None:
    run = a_run(reason="NoContact", message="silence")
    driver = a_driver(started_at=NOW - 1)
    assert said(plan(seen(driver, a_pod(driver), run=run), NOW, LIMITS))[:2] == ("Running", "")


def test_driver_that_has_called_something_is_no_silent_one() -> None:
    task = a_task("a", meta=meta("run-a000000000000000", owner_uid="uid-run", created=NOW - 50))
    assert written(plan(silent(61, task, a_pod(task)), NOW, LIMITS)) is None


def test_driver_that_has_got_something_committed_is_no_silent_one() -> None:
    run = a_run(checkpoints=(a_checkpoint(0, at=rfc3339(NOW - 10)),))
    settled = {names.task_name("run", f"{0:032x}")}
    assert written(plan(silent(61, run=run, committed_tasks=settled), NOW, LIMITS)) is None


def test_what_earlier_drivers_did_proves_nothing() -> None:
    run = a_run(checkpoints=(a_checkpoint(0, at=rfc3339(NOW - 100)),))
    settled = {names.task_name("run", f"{0:032x}")}
    assert said(plan(silent(61, run=run, committed_tasks=settled), NOW, LIMITS))[0] == "NoContact"


def test_route_that_does_not_yield_is_told_in_the_drivers_words() -> None:
    driver = a_driver(progress="the route has computed for more than 10 s: it is at app.py:7")
    assert said(plan(seen(driver, a_pod(driver)), NOW, LIMITS))[:2] == ("RouteNotYielding", driver.progress)


def test_route_that_yields_again_is_told_no_more() -> None:
    run = a_run(reason="RouteNotYielding", message="the route has computed")
    driver = a_driver()
    assert said(plan(seen(driver, a_pod(driver), run=run), NOW, LIMITS))[:2] == ("Running", "")


def test_driver_that_is_let_read_nothing_stalls_the_run_with_the_api_servers_words() -> None:
    driver = a_driver()
    words = "GET appruns: 403 Forbidden: User cannot get resource"
    pod = a_pod(driver, phase="Failed", exit_code=EXIT_NOT_ALLOWED, exit_message=f"before\n{words}")
    decided = plan(seen(driver, pod), NOW, LIMITS)
    reason, message, _ = said(decided)
    assert (reason, message.endswith(words)) == ("NoContact", True)
    (patch,) = [action for action in decided.then if isinstance(action, PatchTask)]
    assert patch.status["attempts"][-1]["budget"] == "None"  # type: ignore[index, call-overload]
    assert (patch.status["startedAt"], patch.status["progress"]) == (None, None)


def test_next_driver_has_to_be_heard_before_that_is_over() -> None:
    run = a_run(phase="Stalled", reason="NoContact", message="403")
    driver = a_driver(attempt=2, started_at=0.0)
    assert written(plan(seen(driver, a_pod(driver), run=run), NOW, LIMITS)) is None
    heard = a_driver(attempt=2)
    assert said(plan(seen(heard, a_pod(heard), run=run), NOW, LIMITS))[0] == "Running"


def test_task_whose_token_is_not_accepted_is_no_fault_of_its_code() -> None:
    driver, task = a_driver(), a_task("a")
    pod = a_pod(task, phase="Failed", exit_code=EXIT_NOT_ALLOWED)
    (patch,) = [a for a in plan(seen(driver, a_pod(driver), task, pod), NOW, LIMITS).then if isinstance(a, PatchTask)]
    assert patch.status["attempts"][-1]["budget"] == "Disruption"  # type: ignore[index, call-overload]
