"""The verdict holds for an honest run and fails for every way in which ledger and witnesses could tell of another."""

from __future__ import annotations

from dataclasses import replace

from hack.demo.snapshot import EndedAttempt
from hack.restarts import OperatorPod, Termination
from tests.unit.demo.world import END, FAULT, World, checkpoint, driver, output, task, witness

SUCCEEDED = "the run succeeded"
ONE_ENTRY = "the ledger holds every task call once, without a gap"
BOOKS = "every checkpoint stands for one real execution, and every execution is in the ledger"
PAST = "nothing committed was lost or changed"
COMMITTED_ONCE = "every task committed by the time of the fault executed once"
OTHERS_ONCE = "every other task that the fault didn't touch executed once"
ELSEWHERE = "every task that was lost with the node executed again elsewhere"
DRIVER = "the driver was lost and another took over"
BUDGET = "no lost attempt was charged to a task's own retries"
OPERATOR = "no pod of the operator restarted that nobody killed"
OUTPUT = "the output is right"


def test_honest_run_has_every_claim() -> None:
    assert World().failed() == set()


def test_run_that_failed() -> None:
    assert SUCCEEDED in World(end=replace(END, phase="Failed")).failed()


def test_committed_task_that_ran_again_under_a_new_attempt() -> None:
    assert World().with_witness(witness("core", attempt=2)).failed() == {COMMITTED_ONCE}


def test_committed_task_whose_same_attempt_ran_twice() -> None:
    assert World().with_witness(witness("core")).failed() == {BOOKS, COMMITTED_ONCE}


def test_checkpoint_without_any_execution() -> None:
    assert World().without_witness(witness("list")).failed() == {BOOKS, COMMITTED_ONCE}


def test_task_on_the_living_node_that_ran_twice() -> None:
    assert World().with_witness(witness("assemble", attempt=2)).failed() == {OTHERS_ONCE}


def test_execution_that_the_ledger_does_not_know() -> None:
    assert BOOKS in World().with_witness(witness("unheard-of")).failed()


def test_lost_task_that_never_ran_again() -> None:
    assert World().without_witness(witness("apps", attempt=2)).failed() == {BOOKS, ELSEWHERE}


def test_lost_task_that_ran_again_on_the_dead_node() -> None:
    moved = World().without_witness(witness("apps", attempt=2)).with_witness(witness("apps", attempt=2, node="node2"))
    assert moved.failed() == {ELSEWHERE}


def test_lost_task_whose_first_attempt_is_the_recorded_one() -> None:
    ledger = [checkpoint(3, "apps", 1) if entry.key == "key-apps" else entry for entry in END.ledger]
    assert {BOOKS, ELSEWHERE} <= World().with_ledger(*ledger).failed()


def test_lost_task_may_have_come_to_its_last_act_before_it_died() -> None:
    assert World().with_witness(witness("apps", attempt=1, node="node2")).failed() == set()


def test_checkpoint_that_vanished() -> None:
    assert {ONE_ENTRY, PAST, BOOKS} <= World().with_ledger(*END.ledger[1:]).failed()


def test_checkpoint_that_changed_after_it_was_committed() -> None:
    changed = replace(END.ledger[1], digest="another")
    assert World().with_ledger(END.ledger[0], changed, *END.ledger[2:]).failed() == {PAST}


def test_task_call_that_is_in_the_ledger_twice() -> None:
    assert ONE_ENTRY in World().with_ledger(*END.ledger, checkpoint(5, "core")).failed()


def test_task_call_that_was_never_committed() -> None:
    assert World().with_tasks(*END.tasks, task("forgotten")).failed() == {ONE_ENTRY}


def test_empty_books_prove_nothing() -> None:
    failed = World(end=replace(END, ledger=(), witnesses=(), tasks=())).failed()
    assert {ONE_ENTRY, BOOKS, PAST, COMMITTED_ONCE, ELSEWHERE, DRIVER, BUDGET} <= failed


def test_driver_that_was_not_replaced() -> None:
    assert World().with_tasks(driver(attempt=1), *END.tasks[1:]).failed() == {DRIVER, BUDGET}


def test_fault_that_spared_the_driver() -> None:
    spared = replace(FAULT, losses=FAULT.lost_tasks)
    assert World(fault=spared).failed() == {DRIVER}


def test_fault_that_hit_no_task() -> None:
    idle = replace(FAULT, losses=tuple(loss for loss in FAULT.losses if loss.role == "driver"))
    assert ELSEWHERE in World(fault=idle).failed()


def test_loss_charged_to_the_tasks_own_retries() -> None:
    charged = replace(task("apps", attempt=2), ended=(EndedAttempt(1, "Error", "App"),))
    tasks = [charged if each.name == charged.name else each for each in END.tasks]
    assert World().with_tasks(*tasks).failed() == {BUDGET}


def test_run_that_nothing_happened_to() -> None:
    assert "something was broken while the run worked" in World(fault=None).failed()


def test_output_that_the_api_server_contradicts() -> None:
    assert World().with_output(output(groups=2)).failed() == {OUTPUT}
    assert World().with_output(output(kinds=19)).failed() == {OUTPUT}


def test_output_without_the_lineage_of_its_own_run() -> None:
    assert World().with_output({"groups": 3, "kinds": 20}).failed() == {OUTPUT}


def test_deleted_pods_may_be_replaced_on_the_same_node() -> None:
    deleted = replace(FAULT, kind="pods")
    moved = World(fault=deleted).without_witness(witness("apps", attempt=2))
    assert moved.with_witness(witness("apps", attempt=2, node="node2")).failed() == set()


def operator_termination(node: str, restarted: bool = True) -> Termination:
    pod = OperatorPod("system", "apprun-a", "uid", node, restarts=1, ready=True, leaving=False)
    return Termination(pod, restarted, after=FAULT.at + 1, before=FAULT.at + 4)


def test_an_operator_on_the_killed_node_restarts_with_it() -> None:
    gone = operator_termination("node2", restarted=False)
    assert World(terminations=(gone, operator_termination("node2"))).failed() == set()


def test_operator_that_restarted_elsewhere() -> None:
    assert World(terminations=(operator_termination("node1"),)).failed() == {OPERATOR}


def test_operator_that_restarted_twice() -> None:
    assert World(terminations=2 * (operator_termination("node2"),)).failed() == {OPERATOR}
