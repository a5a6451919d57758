"""The worker: one run's trouble is its own."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support import virtual_time
from tests.support.world import Outcome, World, living

from apprun_operator.kube.errors import InvalidError, ThrottledError, UnavailableError


class Broken:
    """A fault hook: calls whose text contains a given part fail."""

    def __init__(self, part: str, error: Exception, times: int = 10**9, moment: str = "before") -> None:
        self.part, self.error, self.times, self.moment = part, error, times, moment
        self.at: list[float] = []

    async def __call__(self, moment: str, call: str) -> None:
        if moment == self.moment and self.part in call and self.times > 0:
            self.times -= 1
            self.at.append(asyncio.get_running_loop().time())
            raise self.error


def test_run_that_the_api_server_refuses_stops_no_other() -> None:
    async def scenario() -> None:
        async with living(World([["a"]])) as world:
            broken = Broken("PATCH appruns bad", InvalidError("never"))
            world.start_operator(broken)
            world.apply_run("bad")
            good = world.apply_run("good")
            await world.until_phase(good, "Succeeded", seconds=20)
            await asyncio.sleep(600)
            assert 10 < len(broken.at) < 60, "the mark and its refusal are tried again, ever more slowly"

    virtual_time.run(scenario())


def test_bug_in_one_runs_plan_stops_no_other() -> None:
    async def scenario() -> None:
        async with living(World([["a"]])) as world:
            cache = world.start_operator()
            observe: Any = cache.observe
            cache.observe = lambda key: 1 / 0 if key.name == "bad" else observe(key)  # type: ignore[method-assign]
            world.apply_run("bad")
            good = world.apply_run("good")
            await world.until_phase(good, "Succeeded", seconds=20)

    virtual_time.run(scenario())


def test_pod_whose_creation_hangs_holds_up_no_commit() -> None:
    async def scenario() -> None:
        async with living(World([["slow", "quick"]])) as world:
            hung: list[str] = []

            async def fault(moment: str, call: str) -> None:
                if moment == "before" and "CREATE pods" in call and "driver" not in call and not hung:
                    hung.append(call)
                    await asyncio.sleep(1000)

            world.start_operator(fault)
            run = world.apply_run("r")
            await world.until(lambda: len(world.status(run).get("checkpoints", [])) == 1, seconds=20)

    virtual_time.run(scenario())


def test_timeout_after_the_write_was_done_does_it_no_second_time() -> None:
    async def scenario() -> None:
        async with living(World([["a"], ["b"]])) as world:
            lost = Broken("pods", UnavailableError("no answer"), times=3, moment="after")
            world.start_operator(lost)
            run = world.apply_run("r")
            await world.until_phase(run, "Succeeded", seconds=60)
            assert set(world.starts.values()) == {1}

    virtual_time.run(scenario())


def test_throttling_server_is_obeyed() -> None:
    async def scenario() -> None:
        async with living(World([["a"]])) as world:
            busy = Broken("PATCH appruns", ThrottledError("slow down", retry_after=7), times=3)
            world.start_operator(busy)
            run = world.apply_run("r")
            await world.until_phase(run, "Succeeded", seconds=60)
            assert all(later - earlier >= 7 for earlier, later in zip(busy.at, busy.at[1:], strict=False))

    virtual_time.run(scenario())


def test_pods_are_planned_again_after_a_worker_restarted() -> None:
    async def scenario() -> None:
        async with living(World([["a"]], behaviour=lambda call: Outcome(seconds=30))) as world:
            world.start_operator()
            run = world.apply_run("r")
            await world.until(lambda: sum(world.starts.values()) == 1)
            await world.stop_operator()
            await asyncio.sleep(60)
            world.start_operator()
            await world.until_phase(run, "Succeeded", seconds=20)

    virtual_time.run(scenario())
