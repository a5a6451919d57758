"""Random trouble on every call, for a while: the run ends as it would have, and nothing committed runs again."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.support import virtual_time
from tests.support.fake_api import Object, Place
from tests.support.world import NAMESPACE, Outcome, World, living

from apprun_operator.kube.errors import (
    ApiError,
    ForbiddenError,
    GoneError,
    ThrottledError,
    UnauthorizedError,
    UnavailableError,
)

pytestmark = pytest.mark.slow

ERRORS: tuple[ApiError, ...] = (
    UnavailableError("503"),
    UnavailableError("no answer in time"),
    ThrottledError("429", retry_after=1),
    UnauthorizedError("401"),
    GoneError("410"),
)


class Trouble:
    """Each moment of each call fails with some probability, until the trouble is over."""

    def __init__(self, chance: random.Random, rate: float) -> None:
        self.chance, self.rate, self.over = chance, rate, False

    async def __call__(self, moment: str, call: str) -> None:
        await asyncio.sleep(self.chance.random() * 0.05)
        if not self.over and self.chance.random() < self.rate:
            raise self.chance.choice(ERRORS)


def flaky(chance: random.Random) -> Outcome:
    fate = chance.random()
    if fate < 0.1:
        return Outcome(chance.random() * 5, die=1)
    error = {"type": "ValueError", "message": "no"} if fate < 0.2 else None
    return Outcome(chance.random() * 5, error)


@pytest.mark.parametrize("seed", range(12))
def test_run_survives_random_trouble(seed: int) -> None:
    chance = random.Random(seed)

    def behaviour(call: Object) -> Outcome:
        return Outcome() if call["role"] == "driver" else flaky(chance)

    async def story() -> None:
        stages = [["a"], ["b", "c", "d", "e"], ["sleep", "f"], ["g"]]
        async with living(World(stages, behaviour, nodes=4)) as world:
            trouble = Trouble(chance, 0.15)
            world.start_operator(trouble)
            run = world.apply_run("r")
            for _ in range(12):
                await asyncio.sleep(chance.random() * 6)
                await interfere(world, chance)
                if chance.random() < 0.3:
                    await world.stop_operator()
                    await asyncio.sleep(chance.random() * 3)
                    world.start_operator(trouble)
            trouble.over = True
            status = await world.until_phase(run, "Succeeded", seconds=1200)
            await world.until_quiet()
            entries = world.server.ledger(world.server.objects[run])
            assert sorted(entry["task"] for entry in entries) == ["a", "b", "c", "d", "e", "f", "g", "sleep"]
            assert [entry["sequence"] for entry in entries] == list(range(8))
            assert status["output"]["committed"] == 8
            assert world.restarts_of_committed == []

    virtual_time.run(story())


async def interfere(world: World, chance: random.Random) -> None:
    """What people and clusters do: delete a pod, lose a node, forget old versions."""
    pods = sorted(place.name for place in world.server.objects if place.plural == "pods")
    fate = chance.random()
    if fate < 0.3 and pods:
        place = Place("pods", NAMESPACE, chance.choice(pods))
        world.server.delete("user", place)
    elif fate < 0.4 and not world.dead_nodes:
        world.kill_node("node1")
    elif fate < 0.6:
        world.server.compact()


class Away:
    """Nothing but one error from the API server, before each call is done, as long as it is away."""

    def __init__(self, error: ApiError) -> None:
        self.error, self.away, self.calls = error, False, 0

    async def __call__(self, moment: str, call: str) -> None:
        if self.away and moment != "after":
            self.calls += 1
            raise self.error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__ + str(error)[:3])
def test_ten_minutes_without_the_api_server_cost_no_more(error: ApiError) -> None:
    """Tasks that are at work then report, and are committed when the operator is let in again. It doesn't hammer."""

    async def story() -> None:
        async with living(World([["a"], ["b", "c", "d"], ["e"]], lambda call: Outcome(seconds=5))) as world:
            fault = Away(error)
            world.start_operator(fault)
            run = world.apply_run("r")
            await asyncio.sleep(9)
            before = len(world.server.ledger(world.server.objects[run]))
            fault.away = True
            await asyncio.sleep(600)
            assert len(world.server.ledger(world.server.objects[run])) == before < 5
            assert 10 < fault.calls < 600, "it gave up, or hammers"
            fault.away = False
            status = await world.until_phase(run, "Succeeded", seconds=60)
            assert status["output"]["committed"] == 5
            assert world.restarts_of_committed == []
            assert set(world.starts.values()) == {1}

    virtual_time.run(story())


def test_a_late_report_of_a_replaced_attempt_is_refused() -> None:
    async def story() -> None:
        async with living(World([["a"]], lambda call: Outcome(seconds=30 if call["attempt"] == 1 else 1))) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: sum(world.starts.values()) == 1)
            pod = next(p for p in world.server.objects if p.plural == "pods" and "driver" not in p.name)
            world.kill_node(world.server.objects[pod]["spec"]["nodeName"])
            await world.until_phase(run, "Succeeded")
            entries = world.status(run)["checkpoints"]
            with pytest.raises(ForbiddenError, match="not the current attempt"):
                world.server.report(
                    NAMESPACE, pod.name, pod.name.rsplit("-", 2)[0], {"phase": "Succeeded", "output": 0}
                )
            await asyncio.sleep(60)
            assert world.status(run)["checkpoints"] == entries
            assert entries[0]["attempts"] == 2

    virtual_time.run(story())


def test_two_operators_at_once_do_no_harm() -> None:
    async def story() -> None:
        stages = [["a"], ["b", "c", "d"], ["e"]]
        async with living(World(stages)) as world, living(World(stages, server=world.server)) as other:
            world.start_operator()
            other.start_operator()
            run = world.apply_run("r")
            await world.until_phase(run, "Succeeded", seconds=60)
            assert set(world.starts.values()) == {1}
            assert len(world.status(run)["checkpoints"]) == 5

    virtual_time.run(story())
