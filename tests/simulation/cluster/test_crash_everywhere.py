"""Kill a party before and after every API call that it makes: the same end, nothing committed runs again.

The real operator, the real drivers, the real task pods; each is killed at each of its calls in turn, one per run.
A crashed call either never reached the API server, or was done and nobody heard. Invariants 1 to 4 of the design.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.support.fake_api import Object, Place
from tests.support.sim.cluster import APPS, Cluster, simulate
from tests.support.sim.crashes import Crash
from tests.support.sim.invariants import outcome_of

from apprun_operator.plan.limits import Limits

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Scenario:
    """A run, and what a person or the cluster does to it after some seconds."""

    app: str | Object
    input: Object = field(default_factory=dict)
    interfere: Callable[[Cluster, Place], None] | None = None
    after: float = 0.0


def cancel(cluster: Cluster, run: Place) -> None:
    cluster.edit_spec(run, cancel=True)


def lose_a_node(cluster: Cluster, run: Place) -> None:
    cluster.nodes.kill(cluster.nodes.nodes["node2"])


PATIENT: Object = {"image": "app:1", "entry": f"{APPS}:Patient", "parkAfterSeconds": 3}
SCENARIOS = {
    "success": Scenario("Mixed", {"width": 2}),
    "failures": Scenario("Failing"),
    "failed-route": Scenario("Broken"),
    "clean-up": Scenario("Tidy", {"width": 2}, cancel, 8),
    "continuation": Scenario("Link", {"rounds": 1}),
    "lost-node": Scenario("Wide", {"width": 3, "seconds": 12}, lose_a_node, 6),
    "state": Scenario("Tally"),
    "heartbeats": Scenario("Counting", {"seconds": 3}),
    "gate": Scenario("Gated", {"width": 1}),
    "beside": Scenario("Beside", {"width": 2}),
    "beside-clean-up": Scenario("Leaving", {}, cancel, 8),
    "parked": Scenario(PATIENT, {"seconds": 10}),
    "parked-clean-up": Scenario(PATIENT, {"seconds": 90}, cancel, 8),
    "parked-lost-node": Scenario(PATIENT, {"seconds": 10}, lose_a_node, 8),
    "closed-gate": Scenario("Gated", {"width": 0}),
}


async def play(scenario: Scenario, crash: Crash) -> Object:
    """One run with at most one crash; what is left at the end."""
    cluster = Cluster(hook=crash, limits=Limits(runtime_image="runtime", node_lost_grace=3))
    crash.cluster = cluster
    async with cluster.living():
        run = cluster.apply_run("r", scenario.app, scenario.input)
        if scenario.interfere is not None:
            asyncio.get_running_loop().call_later(scenario.after, scenario.interfere, cluster, run)
        await cluster.until_ended(run)
        await cluster.until_ended()
        for node in cluster.nodes.nodes.values():
            if not node.alive:
                cluster.nodes.heal(node)
        await cluster.until_quiet()
        assert (
            all(count == 1 or scenario.after or scenario.app == "Tally" for count in cluster.done.values())
            or crash.done
        )
        status = cluster.status(run)
        return {
            "phase": status["phase"],
            "output": status.get("output"),
            "error": (status.get("error") or {}).get("type"),
            "ledger": sorted(filter(outlives, ((e["task"], e["outcome"]) for e in cluster.entries(run)))),
            "tasks": sorted(
                filter(outlives, ((t["spec"]["task"], outcome_of(t)["phase"]) for t in cluster.of("apptasks")))
            ),
            "state": {
                key: entry["value"]
                for state in cluster.of("appstates")
                for key, entry in state["spec"]["entries"].items()
            },
            "runs": sorted((r["status"]["phase"], str(r["status"].get("output"))) for r in cluster.of("appruns")),
        }


def outlives(ended: tuple[str, str]) -> bool:
    """Whether a crash may not change this end. A driver task that was given up is recorded if its driver lives on."""
    return ended != ("quick", "Cancelled")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("party", ["operator", "driver", "task"])
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_party_killed_at_any_api_call_changes_nothing(name: str, party: str, moment: str) -> None:
    scenario = SCENARIOS[name]
    watcher = Crash(party, 0, moment)
    expected = simulate(play(scenario, watcher))
    for number in range(1, len(watcher.requests) + 1):
        crash = Crash(party, number, moment)
        what = f"the {party} was killed {moment} its call {number}: {watcher.requests[number - 1]}"
        assert simulate(play(scenario, crash)) == expected, what
        assert crash.done


def test_state_is_counted_up_once_for_each_task() -> None:
    price = {"price": "$(HOME)"}
    counted = {"count": {"n": 3}, "first": price, "second": price, "third": price}
    assert simulate(play(SCENARIOS["state"], Crash("nobody", 0, "before")))["state"] == counted


def test_a_run_that_its_gate_refuses_has_no_other_task() -> None:
    end = simulate(play(SCENARIOS["closed-gate"], Crash("nobody", 0, "before")))
    assert (end["phase"], end["error"], end["ledger"]) == (
        "Failed", "PreflightFailedError", [("apprun.preflight", "Failed")]
    )  # fmt: skip
