"""Which node is broken, what counts as lost with it, and when that was noticed."""

from __future__ import annotations

from dataclasses import replace

from hack.demo.injected_fault import (
    FRESH_SECONDS,
    MIN_COMMITTED,
    PATIENCE,
    InjectedFault,
    add_losses,
    note_times,
    target,
)
from hack.demo.snapshot import Node
from tests.unit.demo.world import BEFORE, FAULT, KILLED_AT, WORKING, checkpoint, driver, pod, task

READY_TO_BREAK = replace(
    WORKING,
    ledger=tuple(checkpoint(place, f"done-{place}") for place in range(MIN_COMMITTED)),
    tasks=(*WORKING.tasks, task("more", phase="Active", sequence=4)),
    pods=(*WORKING.pods, pod("more", "node2")),
)
FRESH = InjectedFault("node", "node2", KILLED_AT, BEFORE)
JUST_BEGUN = {each.name: KILLED_AT - 1 for each in READY_TO_BREAK.pods}
LONG_AT_WORK = {each.name: KILLED_AT - FRESH_SECONDS - 1 for each in READY_TO_BREAK.pods}


def test_node_with_driver_and_tasks_is_the_target() -> None:
    assert target(READY_TO_BREAK, JUST_BEGUN) == "node2"


def test_nothing_is_broken_before_enough_is_committed() -> None:
    assert target(replace(READY_TO_BREAK, ledger=READY_TO_BREAK.ledger[:-1]), JUST_BEGUN) is None


def test_no_fault_while_too_few_tasks_run_beside_the_driver() -> None:
    elsewhere = [replace(each, node="node1") if each.task == "run-more" else each for each in READY_TO_BREAK.pods]
    assert target(replace(READY_TO_BREAK, pods=tuple(elsewhere)), JUST_BEGUN) is None


def test_tasks_that_are_about_to_end_are_not_waited_for() -> None:
    assert target(READY_TO_BREAK, LONG_AT_WORK) is None


def test_late_in_the_run_any_task_at_work_will_do() -> None:
    ledger = tuple(checkpoint(place, f"done-{place}") for place in range(PATIENCE))
    assert target(replace(READY_TO_BREAK, ledger=ledger), LONG_AT_WORK) == "node2"
    idle = replace(READY_TO_BREAK, ledger=ledger, pods=READY_TO_BREAK.pods[:1])
    assert target(idle, LONG_AT_WORK) is None


def test_task_that_has_reported_does_not_count_as_working() -> None:
    tasks = (*READY_TO_BREAK.tasks[:-1], task("more"))
    assert target(replace(READY_TO_BREAK, tasks=tasks), JUST_BEGUN) is None


def test_pod_that_only_starts_does_not_count_as_working() -> None:
    starting = [replace(each, phase="Pending") if each.task == "run-more" else each for each in READY_TO_BREAK.pods]
    assert target(replace(READY_TO_BREAK, pods=tuple(starting)), JUST_BEGUN) is None


def test_nothing_is_broken_while_no_driver_runs() -> None:
    assert target(replace(READY_TO_BREAK, pods=READY_TO_BREAK.pods[1:]), JUST_BEGUN) is None


def test_losses_are_the_unfinished_attempts_on_the_node() -> None:
    pods = (*WORKING.pods[:2], pod("batch", "node1"))
    found = add_losses(FRESH, replace(WORKING, pods=pods))
    assert [loss.task for loss in found.losses] == ["run-apps", "run-driver"]


def test_report_that_came_just_before_the_end_is_no_loss() -> None:
    tasks = (driver(), task("apps"), task("batch", phase="Active"))
    found = add_losses(FRESH, replace(WORKING, tasks=tasks))
    assert [loss.task for loss in found.lost_tasks] == ["run-batch"]


def test_pod_that_came_to_the_dead_node_later_is_a_loss_too() -> None:
    first = add_losses(FRESH, WORKING)
    tasks = (*WORKING.tasks, task("late", phase="Active"))
    later = replace(WORKING, tasks=tasks, pods=(*WORKING.pods, pod("late", "node2", phase="Pending")))
    assert [loss.task for loss in add_losses(first, later).losses] == [
        "run-apps",
        "run-batch",
        "run-driver",
        "run-late",
    ]


def test_replaced_attempt_is_not_lost_a_second_time() -> None:
    first = add_losses(FRESH, WORKING)
    again = replace(WORKING, tasks=(driver(), task("apps", attempt=2, phase="Active"), task("batch", phase="Active")))
    assert add_losses(first, again).losses == first.losses


def test_kubernetes_has_noticed_once_the_node_is_not_ready() -> None:
    seen = note_times(FRESH, replace(WORKING, at=KILLED_AT + 2))
    assert seen.noticed_by_kubernetes is None
    dark = (Node("node1", True), Node("node2", False))
    seen = note_times(seen, replace(WORKING, at=KILLED_AT + 4, nodes=dark))
    seen = note_times(seen, replace(WORKING, at=KILLED_AT + 5, nodes=dark))
    assert seen.noticed_by_kubernetes == KILLED_AT + 4


def test_apprun_has_noticed_once_a_next_attempt_begins() -> None:
    lost = add_losses(FRESH, WORKING)
    assert note_times(lost, WORKING).noticed_by_apprun is None
    tasks = (driver(attempt=2), *WORKING.tasks[1:])
    seen = note_times(lost, replace(WORKING, at=KILLED_AT + 9, tasks=tasks))
    assert seen.noticed_by_apprun == KILLED_AT + 9
    assert seen.running_again is None


def test_each_loss_ends_with_a_running_pod_or_a_result() -> None:
    lost = add_losses(FRESH, WORKING)
    tasks = (driver(attempt=2), task("apps", attempt=2, phase="Active"), task("batch", attempt=2))
    pods = (*WORKING.pods, pod("driver", "node1", 2, role="driver"))
    assert note_times(lost, replace(WORKING, tasks=tasks, pods=pods)).running_again is None
    pods = (*pods, pod("apps", "node1", 2))
    assert note_times(lost, replace(WORKING, at=KILLED_AT + 11, tasks=tasks, pods=pods)).running_again == KILLED_AT + 11


def test_node_is_back_only_after_it_was_switched_on() -> None:
    off = replace(FAULT, power_on=None, node_back=None)
    assert note_times(off, WORKING).node_back is None
    assert note_times(replace(off, power_on=KILLED_AT + 1), WORKING).node_back == WORKING.at
