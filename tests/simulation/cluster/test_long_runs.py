"""What a run costs that is long enough to turn a page of its ledger, and crashes while it does. Invariants 1 and 7."""

from __future__ import annotations

from typing import Final

import pytest
from tests.support.fake_api import Object
from tests.support.sim.cluster import Cluster, simulate
from tests.support.sim.crashes import Crash

from application_sdk.wire.digest import JSONObject

pytestmark = pytest.mark.slow

WIDTH = 260
"""Two hundred and fifty-six checkpoints stay in the status; then the older half moves to a page."""
STEPS = (0, 1)
"""The call that makes the page, and the next one, by which the status lets go of what is in it."""


async def play(app: str, width: int, crash: Crash) -> Object:
    cluster = Cluster(hook=crash)
    crash.cluster = cluster
    async with cluster.living():
        run = cluster.apply_run("r", app, {"width": width, "seconds": 1})
        await cluster.until_ended(run, seconds=4000)
        await cluster.until_quiet()
        return {
            "phase": cluster.status(run)["phase"],
            "pages": cluster.status(run).get("ledgerPages", 0),
            "numbers": [entry["sequence"] for entry in cluster.entries(run)],
            "done": set(cluster.done.values()),
            "writes": sum(caller != "person" for caller, _, _ in cluster.server.writes),
        }


def nothing() -> Crash:
    return Crash("nobody", 0, "before")


def test_a_crash_around_a_page_write_loses_nothing() -> None:
    watcher = Crash("operator", 0, "before")
    expected = simulate(play("Wide", WIDTH, watcher))
    assert (expected["phase"], expected["pages"], expected["numbers"]) == ("Succeeded", 1, list(range(WIDTH)))
    turn = next(number for number, request in enumerate(watcher.requests, 1) if request.startswith("CREATE appledgers"))
    for number in (turn + step for step in STEPS):
        for moment in ("before", "after"):
            crash = Crash("operator", number, moment)
            objects = simulate(play("Wide", WIDTH, crash))
            assert crash.done
            assert {**objects, "writes": 0} == {**expected, "writes": 0}, (
                f"killed {moment} {watcher.requests[number - 1]}"
            )


@pytest.mark.parametrize(("app", "few", "many"), [("Chain", 5, 25), ("Wide", 10, WIDTH)])
def test_task_costs_five_writes_at_most_and_a_page_one_in_128(app: str, few: int, many: int) -> None:
    """Create AppTask, create pod, report, commit, delete pod: however many tasks there are."""
    spent = [int(simulate(play(app, count, nothing()))["writes"]) for count in (few, many)]
    assert (spent[1] - spent[0]) / (many - few) <= 5.1


def chain_of_twenty(given: JSONObject) -> tuple[int, int]:
    """Writes of a run of twenty calls, but for the namespace's accounts, and its AppTasks."""
    cluster = Cluster()

    async def story() -> None:
        async with cluster.living():
            run = cluster.apply_run("r", "Chain", given)
            await cluster.until_ended(run, seconds=4000)
            await cluster.until_quiet()

    simulate(story())
    accounts = ("serviceaccounts", "rolebindings")
    own = [place for caller, _, place in cluster.server.writes if caller != "person" and place.plural not in accounts]
    return len(own), len(cluster.of("apptasks"))


WHOLE: Final[JSONObject] = {"width": 20, "seconds": 1.0, "rounds": 0, "timer": 2.0}


def test_twenty_calls_and_their_driver_cost_five_writes_each() -> None:
    """The run's own writes are among them: its mark, its first status and its end."""
    writes, tasks = chain_of_twenty(WHOLE)
    assert writes / tasks <= 5.1


def test_an_input_that_defaults_complete_costs_one_write() -> None:
    assert chain_of_twenty({"width": 20})[0] == chain_of_twenty(WHOLE)[0] + 1
