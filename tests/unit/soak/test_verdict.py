"""A soak's verdict holds for honest books, and fails for each way in which work could be lost, doubled or stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.soak.__main__ import recorded
from tests.soak.counter import Execution
from tests.soak.verdict import Attempt, Checkpoint, Facts, LongestStandstill, Operators, RunFacts, verdict

LEDGER = (Checkpoint("a", "Succeeded", 1, at=10.0), Checkpoint("b", "Succeeded", 2, at=20.0))
RUN = RunFacts("soak-00", "uid", "Succeeded", "", (0, 1), LEDGER, (Attempt("soak-00-b", "NodeLost", "Disruption"),))
FIRST = Execution("uid/a", 1, begun=8.0, done=9.0)
LOST = Execution("uid/b", 1, begun=11.0)
SECOND = Execution("uid/b", 2, begun=18.0, done=19.0)
HONEST = Facts((RUN,), 2, (FIRST, LOST, SECOND), (), (), Operators(3), LongestStandstill(20.0, 60.0))


def failed(facts: Facts) -> set[str]:
    """The claims that fail, by their first words."""
    return {claim.text.split(" ")[0] + " " + claim.text.split(" ")[1] for claim in verdict(facts) if not claim.holds}


def with_run(**changes: object) -> Facts:
    return replace(HONEST, runs=(replace(RUN, **changes),))  # type: ignore[arg-type]


def with_execution(*more: Execution) -> Facts:
    return replace(HONEST, executions=(*HONEST.executions, *more))


def test_honest_books_have_every_claim() -> None:
    assert failed(HONEST) == set()


def test_attempt_that_died_uncommitted_may_have_begun_anew() -> None:
    assert failed(with_execution(Execution("uid/a", 1, 7.0))) == set()
    assert failed(with_execution(Execution("uid/b", 1, 10.0))) == set()


def test_attempt_that_was_done_twice() -> None:
    assert failed(with_execution(replace(FIRST, begun=7.0))) == {"0 doubled:", "each checkpoint"}
    assert failed(with_execution(*2 * [replace(LOST, done=12.0)])) == {"0 doubled:"}


def test_zombie_may_begin_late_and_even_end() -> None:
    zombie = replace(LOST, begun=25.0, done=26.0)
    assert failed(replace(HONEST, executions=(FIRST, zombie, SECOND))) == set()


@pytest.mark.parametrize("phase", ["Running", "Failed", "Stalled", ""])
def test_run_that_did_not_succeed_is_stuck(phase: str) -> None:
    assert failed(with_run(phase=phase)) == {"0 stuck:"}


def test_no_runs_at_all_prove_nothing() -> None:
    assert "0 stuck:" in failed(replace(HONEST, runs=(), executions=()))


def test_call_that_no_ledger_holds_is_lost() -> None:
    assert "0 lost:" in failed(with_run(ledger=LEDGER[:1]))


def test_result_that_the_output_lacks_is_lost() -> None:
    assert failed(with_run(numbers=(0,))) == {"0 lost:"}


def test_call_that_failed_is_lost() -> None:
    assert failed(with_run(ledger=(LEDGER[0], replace(LEDGER[1], outcome="Failed")))) == {"0 lost:"}


def test_checkpoint_without_an_execution() -> None:
    assert failed(replace(HONEST, executions=(LOST, SECOND))) == {"each checkpoint"}
    assert failed(replace(HONEST, executions=(replace(FIRST, done=None), LOST, SECOND))) == {"each checkpoint"}


def test_call_that_is_committed_twice() -> None:
    assert "0 doubled:" in failed(with_run(ledger=(*LEDGER, LEDGER[0])))


def test_committed_call_that_began_again() -> None:
    assert failed(with_execution(Execution("uid/a", 2, 12.0))) == {"0 doubled:"}
    assert failed(replace(HONEST, executions=(replace(FIRST, begun=11.0), LOST, SECOND))) == {"0 doubled:"}


def test_execution_that_no_ledger_knows() -> None:
    assert failed(with_execution(Execution("uid/c", 1, 5.0, 6.0))) == {"nothing ran"}


def test_fault_of_the_cluster_that_was_charged_to_the_task() -> None:
    assert failed(with_run(ended=(Attempt("soak-00-b", "ProcessDied", "App"),))) == {"whatever ended"}


def test_leftovers() -> None:
    assert failed(replace(HONEST, pods_left=("pod soak-00-a-1",))) == {"no pod"}
    assert failed(replace(HONEST, left=("apptasks/soak-00-a",))) == {"no object"}


def test_operator_that_nobody_killed() -> None:
    assert failed(replace(HONEST, operators=Operators(4, ("apprun-a restarted",)))) == {"no operator"}


def test_standstill_that_took_too_long_is_told() -> None:
    slow = LongestStandstill(
        60.1, 60.0, ("nothing was committed from 12:00:00 to 12:01:00 (60 s):", "  leader: nobody")
    )
    (claim,) = [claim for claim in verdict(replace(HONEST, standstill=slow)) if not claim.holds]
    assert "leader: nobody" in claim.detail
    assert failed(replace(HONEST, standstill=LongestStandstill(60.0, 60.0))) == set()


def test_summary_has_terminations_and_longest_standstill() -> None:
    standstill = LongestStandstill(31.0, 60.0, ("nothing was committed from 12:00:00 to 12:00:31 (31 s):",))
    assert recorded(replace(HONEST, operators=Operators(4, ("apprun-a restarted",)), standstill=standstill)) == [
        "operator pods: 4 terminations, 1 of them unexpected",
        "apprun-a restarted",
        "longest standstill: 31 s, where 60 s are allowed",
        "nothing was committed from 12:00:00 to 12:00:31 (31 s):",
    ]
