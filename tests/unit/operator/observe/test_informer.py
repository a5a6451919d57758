"""List, watch, break, go on: the informer's state machine, then the whole of it against an API
server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Place
from tests.support.virtual_time import wall

from apprun_operator.kube.errors import GoneError, UnavailableError
from apprun_operator.kube.resources import APP_RUNS
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.informer import Informer, Progress
from apprun_operator.observe.records import Key


def test_informer_lists_first_then_goes_on_from_there() -> None:
    assert Progress().version == ""
    assert Progress("", 2).listed("7") == Progress("7", 2)
    assert Progress("7").moved("8") == Progress("8")


def test_break_goes_on_from_the_last_event_but_expiry_lists_anew() -> None:
    assert Progress("8").failed(UnavailableError("")).version == "8"
    assert Progress("8").failed(GoneError("")).version == ""


@pytest.mark.parametrize(("failures", "least", "most"), [(0, 0, 0), (1, 0.1, 0.2), (3, 0.4, 0.8), (99, 5, 10)])
def test_backoff_grows_to_a_bound_with_jitter(failures: int, least: float, most: float) -> None:
    assert Progress("1", failures).backoff(0.0) == least
    assert Progress("1", failures).backoff(1.0) == most


def test_event_ends_the_backoff() -> None:
    assert Progress("1", 5).moved("2").failures == 0


class Fault:
    """Breaks calls on demand."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.calls: list[str] = []

    async def __call__(self, moment: str, call: str) -> None:
        self.calls.append(call.split()[0])
        error = self.errors.get(f"{moment} {call.split()[0]}")
        if error is not None:
            raise error


class Bench:
    def __init__(self) -> None:
        self.server = FakeServer(wall)
        self.fault = Fault()
        self.cache = Cache(lambda key: None, wall)
        api = FakeApi(self.server, "operator", self.fault)
        self.informer = Informer(api, self.cache, "appruns", APP_RUNS, jitter=lambda: 0.5, clock=wall)

    def create(self, name: str) -> Place:
        place = Place("appruns", "default", name)
        self.server.create("user", place, {"metadata": {"name": name}, "spec": {"app": {"entry": "a:B"}}})
        return place

    @property
    def known(self) -> list[str]:
        return sorted(key.name for key in self.cache.keys())  # noqa: SIM118


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    bench.create("early")
    task = asyncio.create_task(bench.informer.run())
    try:
        await bench.informer.synced.wait()
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_objects_come_by_list_and_by_watch() -> None:
    async def scenario() -> None:
        async with running() as bench:
            assert bench.known == ["early"]
            late = bench.create("late")
            await asyncio.sleep(1)
            assert bench.known == ["early", "late"]
            bench.server.remove(late)
            await asyncio.sleep(1)
            assert bench.known == ["early"]

    virtual_time.run(scenario())


def test_deletion_during_an_outage_is_noticed() -> None:
    async def scenario() -> None:
        async with running() as bench:
            for call in ("WATCH", "GET"):
                bench.fault.errors[f"before {call}"] = UnavailableError("down")
            bench.fault.errors["watching WATCH"] = UnavailableError("broken")
            bench.create("breaks-the-watch")
            await asyncio.sleep(1)
            bench.server.remove(Place("appruns", "default", "early"))
            bench.create("meanwhile")
            bench.server.compact()
            await asyncio.sleep(600)
            bench.fault.errors.clear()
            await asyncio.sleep(20)
            assert bench.known == ["breaks-the-watch", "meanwhile"]

    virtual_time.run(scenario())


def test_outage_is_no_reason_to_call_the_operator_dead() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.fault.errors |= {
                f"{m}": UnavailableError("x") for m in ("before WATCH", "watching WATCH", "before GET")
            }
            bench.create("x")
            await asyncio.sleep(3600)
            assert bench.informer.silence < 180

    virtual_time.run(scenario())


def test_pause_between_lists_is_no_silence() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = asyncio.create_task(bench.informer.relist(lambda: 300.0))
        for _ in range(1000):
            await asyncio.sleep(10)
            assert bench.informer.silence < 180
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())


def test_a_list_by_somebody_else_shortens_no_rest() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = asyncio.create_task(bench.informer.relist(lambda: 300.0))
        await asyncio.sleep(10)
        await bench.informer.resync()
        await asyncio.sleep(280)
        assert bench.informer.silence == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())


def test_silence_counts_from_the_end_of_a_rest() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = asyncio.create_task(bench.informer.relist(lambda: 300.0))
        await asyncio.sleep(10)
        never = asyncio.Event()

        async def hang(moment: str, call: str) -> None:
            await never.wait()

        bench.informer._api = FakeApi(bench.server, "operator", hang)
        await asyncio.sleep(300 + 200)
        assert bench.informer.silence > 180
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())


def test_an_informer_that_hangs_is_told_of() -> None:
    async def scenario() -> None:
        async with running() as bench:
            never = asyncio.Event()

            async def hang(moment: str, call: str) -> None:
                await never.wait()

            bench.informer._api = FakeApi(bench.server, "operator", hang)
            await asyncio.sleep(600)
            assert bench.informer.silence > 180

    virtual_time.run(scenario())


def test_watch_that_ends_at_once_every_time_does_not_spin() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.fault.errors["before WATCH"] = GoneError("expired")
            bench.fault.errors["watching WATCH"] = GoneError("expired")
            bench.create("x")
            await asyncio.sleep(60)
            assert len(bench.fault.calls) < 60

    virtual_time.run(scenario())


def test_odd_object_does_not_hide_the_others() -> None:
    async def scenario() -> None:
        async with running() as bench:
            odd = Place("appruns", "default", "odd")
            bench.server.put("ADDED", odd, {"metadata": {"name": "odd", "namespace": "default"}})
            bench.create("good")
            await asyncio.sleep(5)
            assert "good" in bench.known

    virtual_time.run(scenario())


def test_relisting_finds_what_events_missed() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.create("early")
        task = asyncio.create_task(bench.informer.relist(lambda: 300.0))
        await asyncio.sleep(1)
        bench.server.remove(Place("appruns", "default", "early"))
        bench.create("late")
        await asyncio.sleep(301)
        assert bench.known == ["late"]
        assert bench.cache.observe(Key("default", "early")) is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())
