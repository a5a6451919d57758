"""Events: one when a run stalls or fails, with what the condition says; none while all goes well."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, seen

from apprun_operator.observe.observed import Observed
from apprun_operator.plan.actions import Announce, PatchRun
from apprun_operator.plan.run.reconcile import plan

STALL = {"type": "ImportError", "message": "no module app", "attempt": 1, "stall": "LoadFailed"}
ERROR = {"type": "ValueError", "message": "no", "attempt": 1}


def announced(observed: Observed) -> list[Announce]:
    return [action for action in plan(observed, NOW, LIMITS).first if isinstance(action, Announce)]


def test_stall_is_announced_with_its_reason_and_remedy() -> None:
    (event,) = announced(seen(a_driver(error=STALL)))
    body: Any = event.body
    assert (body["reason"], body["note"], body["type"]) == ("LoadFailed", "no module app", "Warning")
    assert (body["regarding"]["kind"], body["regarding"]["uid"]) == ("AppRun", "uid-run")


def test_failure_is_announced() -> None:
    (event,) = announced(seen(a_driver(phase="Failed", error=ERROR)))
    assert event.body["reason"] == "ValueError"


@pytest.mark.parametrize(
    "observed",
    [
        seen(a_driver(), a_task("a", phase="Succeeded")),
        seen(a_driver(phase="Succeeded", output=1)),
        seen(a_driver(), run=a_run(cancel=True, phase="Cancelling")),
    ],
    ids=["commit", "success", "cancel"],
)
def test_what_goes_as_wanted_is_not_announced(observed: Observed) -> None:
    assert any(isinstance(action, PatchRun) for action in plan(observed, NOW, LIMITS).first)
    assert not announced(observed)


def test_stall_that_the_status_tells_of_already_is_not_announced_again() -> None:
    run = a_run(phase="Stalled", reason="LoadFailed", message="older words")
    assert not announced(seen(a_driver(error=STALL), run=run))


def test_event_comes_after_the_status_write_that_makes_it_true() -> None:
    kinds = [type(action) for action in plan(seen(a_driver(error=STALL)), NOW, LIMITS).first]
    assert kinds == [PatchRun, Announce]


def test_same_reason_of_the_same_run_is_the_same_event() -> None:
    driver = a_driver(error=STALL)
    (first,) = announced(seen(driver))
    (again,) = announced(seen(driver, a_pod(driver)))
    (other,) = announced(seen(a_driver(phase="Failed", error=ERROR)))
    assert first.event == again.event != other.event


def test_long_message_is_cut_to_what_an_event_takes() -> None:
    (event,) = announced(seen(a_driver(phase="Failed", error={**ERROR, "message": "ü" * 2000})))
    assert len(str(event.body["note"]).encode()) <= 1024


def test_unreadable_run_is_announced() -> None:
    (event,) = announced(seen(run=a_run(problem="status.phase 'Odd' is unknown", conditions=())))
    assert event.body["reason"] == "Unreadable"
