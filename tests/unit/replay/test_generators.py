"""Async generators in reference cycles are closed where the route ends, whenever the garbage collector finds them."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator

import pytest
from tests.support.routes import Bench

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import check_durability, run_app


class N(Input):
    n: int = 0


class Out(Output):
    n: int = 0


collect_at: set[int] = set()


class Pages(App):
    """Leaves three generators in cycles, each of which releases a cursor, and pauses in between."""

    @task
    async def fetch(self, input: N) -> Out:
        return Out(n=input.n)

    @task
    async def release(self, input: N) -> Out:
        return Out(n=input.n)

    async def pages(self, cursor: int, cycle: list[object]) -> AsyncIterator[int]:
        try:
            while True:
                yield (await self.fetch(N(n=cursor))).n
        finally:
            await self.release(N(n=cursor))

    async def run(self, input: N) -> Out:
        for cursor in range(3):
            cycle: list[object] = []
            pages = self.pages(cursor, cycle)
            cycle += [cycle, pages]
            await anext(pages)
            del cycle, pages
            if cursor in collect_at:
                gc.collect()
            await self.fetch(N(n=10 + cursor))
        return Out(n=1)


EXPECTED = ["fetch 0", "fetch 10", "fetch 1", "fetch 11", "fetch 2", "fetch 12", "release 0", "release 1", "release 2"]


@pytest.mark.slow
@pytest.mark.parametrize("places", [set(), {0}, {1}, {2}, {0, 1, 2}], ids=str)
def test_they_are_closed_at_one_place_in_one_order(places: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.collect_at", places)
    finished = run_app(Pages, N())
    assert finished.outcome == "Succeeded", finished.message
    assert [f"{one.task} {one.input['n']}" for one in finished.executions] == EXPECTED


@pytest.mark.slow
def test_a_replay_repeats_them_wherever_the_collector_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_durability(Pages, N(), orders=2)
    assert report.checkpoints == len(EXPECTED)
    bench = Bench(Pages, N())
    monkeypatch.setattr(f"{__name__}.collect_at", {0, 1})
    first = bench.run()
    monkeypatch.setattr(f"{__name__}.collect_at", set())
    assert bench.run() == first


class Leaving(Pages):
    async def run(self, input: N) -> Out:
        number = 0
        async for page in self.pages(5, []):
            number = page
            break
        await self.sleep(1)
        return await self.fetch(N(n=number + 1))


def test_one_that_loses_its_last_reference_is_closed_at_once() -> None:
    executed = [f"{one.task} {one.input['n']}" for one in run_app(Leaving, N()).executions]
    assert executed == ["fetch 5", "release 5", "fetch 6"]


class Failing(Pages):
    async def pages(self, cursor: int, cycle: list[object]) -> AsyncIterator[int]:
        try:
            yield cursor
        finally:
            raise ValueError("in the clean-up")


def test_an_error_of_a_closed_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert run_app(Failing, N()).outcome == "Succeeded"
    assert "an error while an asynchronous generator was closed" in caplog.text


class InTheEnd(Pages):
    async def run(self, input: N) -> Out:
        return Out()

    async def on_complete(self) -> None:
        await super().run(N())


def test_nothing_is_called_for_those_of_the_last_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.collect_at", {0})
    before = list(gc.callbacks)
    finished = run_app(InTheEnd, N())
    assert finished.outcome == "Succeeded", finished.message
    assert "release" not in finished.executed
    assert gc.callbacks == before
