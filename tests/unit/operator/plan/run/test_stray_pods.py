"""Pods that no open call accounts for: they take up places until they are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, meta, seen

from apprun_operator.observe.pods import PodRecord
from apprun_operator.plan.actions import Plan, PodDemand
from apprun_operator.plan.limits import DELETION_SLACK
from apprun_operator.plan.run.reconcile import plan


def pod_of_replaced_run(**fields: object) -> PodRecord:
    """A task's pod of a run of the same name that was deleted, and whose AppTask is gone."""
    task = a_task("e", meta=meta("run-e", uid="earlier-task", owner_uid="earlier-run"))
    return a_pod(task, **fields)


def decide(*things: object, **fields: object) -> Plan:
    driver = a_driver()
    return plan(seen(driver, a_pod(driver), *things, **fields), NOW, LIMITS)  # type: ignore[arg-type]


def test_pod_of_a_replaced_run_counts_as_occupied() -> None:
    busy = a_task("a")
    demand = decide(busy, a_pod(busy), a_task("b"), pod_of_replaced_run()).demand
    assert demand == PodDemand(occupied=3, wanted=3)


def test_pod_that_is_being_deleted_counts_until_it_is_gone() -> None:
    ending = pod_of_replaced_run(deletion_at=NOW + 30)
    assert decide(ending).demand == PodDemand(1, 1)


def test_pod_of_an_earlier_attempt_counts_as_occupied() -> None:
    task = a_task("a", attempt=2)
    demand = decide(task, a_pod(task), a_pod(task, attempt=1, deletion_at=NOW + 30)).demand
    assert demand == PodDemand(2, 2)


def test_stray_pods_leave_the_runs_own_parallelism_alone() -> None:
    demand = decide(a_task("a"), pod_of_replaced_run(), run=a_run(parallelism=1)).demand
    assert demand == PodDemand(2, 2)


def test_suspended_run_counts_its_stray_pods() -> None:
    assert decide(pod_of_replaced_run(), run=a_run(suspend=True)).demand == PodDemand(1, 1)


@pytest.mark.parametrize(
    "fields",
    [{"exit_code": 0}, {"phase": "Failed"}, {"deletion_at": NOW - DELETION_SLACK}],
    ids=["exited", "failed", "past its grace"],
)
def test_stray_pod_that_has_ended_occupies_nothing(fields: dict[str, object]) -> None:
    assert decide(pod_of_replaced_run(**fields)).demand == PodDemand()


def test_stray_pod_on_a_lost_node_is_given_up_in_time() -> None:
    ending = pod_of_replaced_run(deletion_at=NOW + 30)
    assert decide(ending).wake_at == NOW + 30 + DELETION_SLACK


def test_pod_of_a_committed_call_occupies_nothing() -> None:
    task = a_task("a")
    reported = replace(a_pod(task), deletion_at=NOW + 30)
    assert decide(reported, committed_tasks={task.meta.key.name}).demand == PodDemand()


@pytest.mark.parametrize("deleting", [True, False], ids=["deleted", "finished"])
def test_run_at_its_end_occupies_places_until_its_pods_are_gone(deleting: bool) -> None:
    task = a_task("a")
    run = a_run(meta=meta("run", deleting=True)) if deleting else a_run(phase="Cancelled", finished_at=NOW)
    decided = plan(seen(task, a_pod(task, deletion_at=NOW + 30), run=run), NOW, LIMITS)
    assert decided.demand == PodDemand(1, 1)
    assert decided.wake_at == NOW + 30 + DELETION_SLACK
