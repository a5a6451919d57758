"""Kill the operator before and after every single API call that it makes: the same end, nothing committed runs again.

Invariants 1, 2 and 4 of the design. A crashed call either never reached the API server, or was done and nobody heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.support import virtual_time
from tests.support.fake_api import Object, Place
from tests.support.world import Outcome, Stages, World, living


@dataclass
class CrashPoint:
    """Hangs the operator's n-th call at the given moment, for ever, and tells that it did."""

    number: int
    moment: str
    seen: int = 0
    calls: list[str] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, moment: str, call: str) -> None:
        if call.startswith("WATCH"):
            return
        if moment == "before":
            self.calls.append(call)
        if moment == self.moment:
            self.seen += 1
            if self.seen == self.number:
                self.reached.set()
                await asyncio.Event().wait()


@dataclass(frozen=True)
class Scenario:
    """A run, and what a person does to it after some virtual seconds."""

    stages: Stages
    behaviour: Callable[[Object], Outcome] = lambda call: Outcome()
    meddle: Callable[[World, Place], None] = lambda world, run: None
    meddle_after: float = 0.0
    clean_up: Stages = ()
    continue_with: Object | None = None


def fails_twice(call: Object) -> Outcome:
    wrong = call["task"] == "b" and call["attempt"] < 3
    return Outcome(error={"type": "ValueError", "message": "no"} if wrong else None)


def always_fails(call: Object) -> Outcome:
    return Outcome(die=1 if call["task"] == "b" else None)


def cancel(world: World, run: Place) -> None:
    world.edit_spec(run, cancel=True)


SCENARIOS = {
    "success": Scenario([["a"], ["b", "c"], ["sleep"]]),
    "retries": Scenario([["a", "b"]], fails_twice),
    "failure": Scenario([["b", "c"]], always_fails),
    "lost-node": Scenario(
        [["a", "b"]], lambda call: Outcome(seconds=9), lambda world, run: world.kill_node("node1"), 5
    ),
    "cancel": Scenario(
        [["a"], ["b"]], lambda call: Outcome(5), lambda world, run: world.edit_spec(run, cancel=True), 3
    ),
    "cancel-with-clean-up": Scenario(
        [["a"], ["b"]], lambda call: Outcome(5), lambda world, run: world.edit_spec(run, cancel=True), 3, [["undo"]]
    ),
    "continuation": Scenario([["a"]], continue_with={"n": 2}),
}


async def play(scenario: Scenario, crash: CrashPoint) -> Object:
    """One run with at most one crash; what is left at the end."""
    world = World(scenario.stages, scenario.behaviour, clean_up=scenario.clean_up, continue_with=scenario.continue_with)
    async with living(world):
        world.start_operator(crash)
        run = world.apply_run("r")
        loop = asyncio.get_running_loop()
        loop.call_later(scenario.meddle_after, scenario.meddle, world, run)
        watching = asyncio.create_task(revive(world, crash))
        status = await world.until_phase(run, "Succeeded", "Failed", "Cancelled", seconds=900)
        for successor in world.runs():
            await world.until_phase(successor, "Succeeded", "Failed", "Cancelled", seconds=900)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if crash.reached.is_set():
            await world.stop_operator()
            world.start_operator()
        await world.until_quiet()
        await world.until(lambda: all(t["status"]["phase"] in ENDED for t in world.tasks("r").values()))
        assert world.restarts_of_committed == []
        return {
            "phase": status["phase"],
            "output": status.get("output"),
            "ledger": sorted((e["task"], e["outcome"]) for e in status.get("checkpoints", [])),
            "runs": len(world.runs()),
            "tasks": {name: task["status"]["phase"] for name, task in world.tasks("r").items()},
        }


ENDED = ("Succeeded", "Failed", "Cancelled")


async def revive(world: World, crash: CrashPoint) -> None:
    await crash.reached.wait()
    await world.stop_operator()
    await asyncio.sleep(2)
    world.start_operator()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_operator_killed_at_any_api_call_reaches_the_same_end(name: str, moment: str) -> None:
    scenario = SCENARIOS[name]

    async def undisturbed() -> tuple[Object, int]:
        watcher = CrashPoint(0, moment)
        return await play(scenario, watcher), len(watcher.calls)

    async def disturbed(number: int) -> Object:
        return await play(scenario, CrashPoint(number, moment))

    expected, calls = virtual_time.run(undisturbed())
    assert calls > 10
    for number in range(1, calls + 1):
        assert virtual_time.run(disturbed(number)) == expected, f"crash {moment} call {number} of {calls}"
