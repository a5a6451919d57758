"""State on this machine: kept together with the completion of the task that saved it, or not at all."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench
from tests.unit.engines.local.kills import killing, sabotaged, statements_of

from application_sdk.engines.local.state import SavedState

APP = Path(__file__).parent / "apps" / "counting.py"


@pytest.fixture(params=["processes", "in process"])
def counting(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, APP, in_process=request.param == "in process")


def kept(bench: Bench) -> object:
    return asyncio.run(SavedState(bench.home.path / "state.db", "orders").load("count"))


@pytest.mark.slow
def test_a_later_task_and_a_later_run_see_what_was_saved(counting: Bench) -> None:
    assert counting.run().output == {"n": 3, "attempt": 1}
    counting.begin(name="orders-2")
    assert counting.execute("orders-2").output == {"n": 6, "attempt": 1}
    assert kept(counting) == {"n": 6}


def test_an_attempt_that_fails_leaves_nothing(counting: Bench) -> None:
    assert counting.run("badly").output == {"n": 1, "attempt": 2}
    assert kept(counting) == {"n": 1}


def test_an_attempt_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, APP)
    bench.begin("badly", count=0)
    assert bench.execute().output == {"n": 1, "attempt": 2}
    assert kept(bench) == {"n": 1}


@pytest.mark.slow
def test_of_two_tasks_that_have_loaded_the_same_the_later_one_starts_anew(counting: Bench) -> None:
    assert counting.run("beside").output == {"n": 2, "attempt": 2}
    assert kept(counting) == {"n": 2}
    assert [one.reason for one in counting.attempts()].count("StateConflict") == 1


@pytest.mark.slow
def test_more_than_an_app_may_keep_fails_the_task_that_would_exceed_it(counting: Bench) -> None:
    run = counting.run("hoarding")
    assert run.phase == "Failed"
    assert "StateTooLarge: the app's state would be" in str(run.error)
    with counting.ledger() as ledger:
        assert [done.outcome for done in ledger.history()][:2] == ["Succeeded", "Failed"]
    counting.begin(name="orders-2")
    assert counting.execute("orders-2").phase == "Succeeded", "it doesn't hold up those after it"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_state_counts_once_through_a_death_between_any_two_statements(tmp_path: Path) -> None:
    first = Bench(tmp_path / "whole", APP, in_process=True)
    points = statements_of(first, lambda: (first.begin(count=2), first.execute()))
    for point in range(40, points):  # before that there is no run yet, or no state in it
        bench = Bench(tmp_path / str(point), APP, in_process=True)
        life = sabotaged(lambda: (bench.begin(count=2), bench.execute()), killing(point))  # noqa: B023 - run at once
        assert bench.in_child(life) == -signal.SIGKILL, point
        assert bench.home.runs(), point
        run = bench.execute()
        assert (run.phase, run.output and run.output["n"]) == ("Succeeded", 2), point
        assert kept(bench) == {"n": 2}, point
