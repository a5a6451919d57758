"""The mark of a run that begins, and what holds one that had begun elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, RUN, a_driver, a_pod, a_run, a_task, meta, seen

from apprun_operator.observe.pods import Rejection
from apprun_operator.observe.records import AppSpecRecord
from apprun_operator.plan.actions import CreatePod, CreateTask, MarkRun, PatchRun, Plan
from apprun_operator.plan.run.reconcile import plan

INLINE = AppSpecRecord({"entry": "app:App", "image": "runtime:1"})
NEW: dict[str, Any] = {
    "app": None, "app_ref": "", "inline_app": INLINE, "started_at": None, "phase": "Pending", "began_as": "",
    "meta": meta(RUN, created=NOW - 600),
}  # fmt: skip


def decide(*things: Any, rejections: dict[str, Rejection] | None = None, **fields: Any) -> Plan:
    return plan(seen(*things, run=a_run(**{**NEW, **fields}), rejections=rejections or {}), NOW, LIMITS)


def said(decided: Plan) -> tuple[str, str]:
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    conditions: Any = patch.status["conditions"]
    return str(patch.status["phase"]), conditions[0]["reason"]


def test_a_run_is_marked_before_anything_else_is_written() -> None:
    assert decide() == Plan(first=[MarkRun(meta(RUN).key, 10, f"uid-{RUN}")])


def test_a_marked_run_begins() -> None:
    decided = decide(began_as=f"uid-{RUN}")
    assert said(decided)[0] == "Running"
    assert [type(action) for action in decided.then] == [CreateTask]


def test_a_run_that_began_without_a_mark_goes_on() -> None:
    driver = a_driver()
    decided = plan(seen(driver, a_pod(driver), a_task("a"), run=a_run(began_as="")), NOW, LIMITS)
    assert [type(action) for action in decided.then] == [CreatePod]


def test_what_cannot_begin_yet_needs_no_mark() -> None:
    assert said(decide(inline_app=None, app_ref="missing")) == ("Stalled", "AppNotFound")


def test_a_run_with_the_mark_of_another_is_held() -> None:
    decided = decide(began_as="uid-before")
    assert (said(decided), decided.then) == (("Stalled", "Restored"), ())


@pytest.mark.parametrize("change", [{"suspend": True}, {"timeout_seconds": 1.0}, {"app_ref": "missing"}], ids=str)
def test_it_is_held_whatever_its_spec_says(change: dict[str, Any]) -> None:
    assert said(decide(began_as="uid-before", **change)) == ("Stalled", "Restored")


def test_it_can_be_cancelled() -> None:
    assert said(decide(began_as="uid-before", cancel=True))[0] == "Cancelled"


@pytest.mark.parametrize("change", [{}, {"cancel": True}, {"suspend": True}, {"began_as": f"uid-{RUN}"}], ids=str)
def test_a_run_that_is_being_imported_is_left_alone(change: dict[str, Any]) -> None:
    done = a_task("a", phase="Succeeded", digest="d", finished_at=NOW - 5)
    decided = decide(done, restored_from="uid-before", **change)
    assert (said(decided), decided.then) == (("Pending", "Restoring"), ())


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_annotations_stop_no_run_that_has_begun(phase: str) -> None:
    driver = a_driver(phase="Succeeded" if phase == "Succeeded" else "Active")
    marks = {"began_as": "uid-before", "restored_from": "uid-before"}
    there = plan(seen(driver, a_pod(driver), run=a_run(phase=phase, **marks)), NOW, LIMITS)
    plain = plan(seen(driver, a_pod(driver), run=a_run(phase=phase)), NOW, LIMITS)
    assert there == plain


def test_an_imported_run_that_had_not_begun_begins() -> None:
    decided = decide(restored_from="uid-before", restored_uid="uid-before")
    assert decided.first == (MarkRun(meta(RUN).key, 10, f"uid-{RUN}"),)


def test_a_mark_that_is_refused_is_told_and_tried_again() -> None:
    rejection = Rejection(RUN, "Forbidden", "denied by policy no-annotations", NOW - 5, NOW + 3)
    decided = decide(rejections={RUN: rejection})
    assert (said(decided), decided.wake_at) == (("Stalled", "MarkRefused"), NOW + 3)
    later = plan(seen(run=a_run(**NEW), rejections={RUN: rejection}), NOW + 3, LIMITS)
    assert [type(action) for action in later.first] == [MarkRun]


@pytest.mark.parametrize("phase", ["Active", "Succeeded"])
def test_a_call_that_an_import_has_planted_is_not_committed(phase: str) -> None:
    driver = a_driver()
    planted = a_task("a", phase=phase, digest="d", finished_at=NOW - 5, restored_from="uid-before")
    decided = plan(seen(driver, a_pod(driver), planted, run=a_run()), NOW, LIMITS)
    assert (said(decided), decided.then) == (("Stalled", "LedgerUnreadable"), ())
    assert "checkpoints" not in str(decided.first)


def test_calls_of_a_restored_run_keep_the_identity_of_the_original() -> None:
    run = a_run(restored_from="uid-before", restored_uid="uid-before")
    driver = a_driver()
    decided = plan(seen(driver, a_pod(driver), a_task("a"), run=run), NOW, LIMITS)
    (created,) = [action for action in decided.then if isinstance(action, CreatePod)]
    call = str(created.body["metadata"])
    assert f'"idempotencyKey":"uid-before/{a_task("a").key}"' in call
    assert '"correlationId":"uid-before"' in call
    assert f'"runUid":"uid-{RUN}"' in call
    assert '"originUid":"uid-before"' in call


def test_a_restored_timer_is_due_when_the_original_was() -> None:
    timer = a_task("t", role="timer", seconds=3600.0, not_before=NOW - 1)
    driver = a_driver()
    decided = plan(seen(driver, a_pod(driver), timer), NOW, LIMITS)
    assert "Succeeded" in str(decided.then)
