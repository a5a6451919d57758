"""Killed between any two statements of its ledger, a run comes to the same end and repeats nothing committed."""

from __future__ import annotations

import collections
import signal
from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench
from tests.unit.engines.local.kills import killing, sabotaged, statements_of

from application_sdk.engines.local.retry_run import retry

OUTPUT = {"said": "FIRST BRANCH 0 BRANCH 1 LAST"}
STEPS = ["branch 0", "branch 1", "first", "last"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_survives_its_death_between_any_two_statements(tmp_path: Path, orders: Path) -> None:
    first = Bench(tmp_path / "whole", orders, in_process=True)
    points = statements_of(first, lambda: (first.begin(count=2), first.execute()))
    assert points > 40
    for point in range(points):
        bench = Bench(tmp_path / str(point), orders, in_process=True)
        life = sabotaged(lambda: (bench.begin(count=2), bench.execute()), killing(point))  # noqa: B023 - run at once
        assert bench.in_child(life) == -signal.SIGKILL, point
        if not bench.home.runs():
            bench.begin(count=2)  # Killed before there was a run: its name is free.
        with bench.ledger() as ledger:
            committed = [done.output["said"] for done in ledger.history() if done.output]
        before = collections.Counter(bench.lines())
        run = bench.execute()
        assert (run.phase, run.output) == ("Succeeded", OUTPUT), point
        after = collections.Counter(bench.lines())
        assert sorted(after) == STEPS, point
        for said in committed:
            assert after[said.lower()] == before[said.lower()], f"{said} was committed at {point}, and done again"
        with bench.ledger() as ledger:
            assert [done.task for done in ledger.history()].count("step") == len(STEPS)
            numbers = [(one.key, one.attempt) for one in ledger.attempts()]
            assert len(set(numbers)) == len(numbers)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_retry_survives_its_death_between_any_two_statements(tmp_path: Path, orders: Path) -> None:
    def failed(name: str) -> Bench:
        bench = Bench(tmp_path / name, orders, in_process=True)
        assert bench.run("needs-permission").phase == "Failed"
        bench.journal.with_name("journal.allowed").touch()
        return bench

    first = failed("whole")
    points = statements_of(first, lambda: retry(first.home.folder("orders-1"), None, ""))
    assert points > 20
    for point in range(points):
        bench = failed(str(point))
        folder = bench.home.folder("orders-1")
        assert bench.in_child(sabotaged(lambda: retry(folder, None, ""), killing(point))) == -signal.SIGKILL  # noqa: B023
        with bench.ledger() as ledger:
            phase = ledger.run().phase
        # Either the old ledger, whole, or the new one.
        assert phase in ("Failed", "Running"), point
        if phase == "Failed":
            retry(folder, None, "")
        assert bench.execute().output == {"said": "allowed"}, point
        assert bench.lines().count("beside") == 1, point
