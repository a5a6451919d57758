"""`self.map`, and limits of a task for the whole run: in order, bounded, durable, the same in each replay."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from application_sdk.app import App, TaskFailedError, task
from application_sdk.contracts import Input, Output
from application_sdk.errors import AppDefinitionError, MisuseError
from application_sdk.testing import FinishedRun, check_durability, run_app


class N(Input):
    n: int = 0


class Out(Output):
    n: int = 0
    text: str = ""


class Base(App, abstract=True):
    @task(retry_max_attempts=1)
    async def work(self, input: N) -> Out:
        if input.n < 0:
            raise ValueError(f"{input.n} is negative")
        return Out(n=input.n * 10)

    @task(limit=2)
    async def narrow(self, input: N) -> Out:
        return Out(n=input.n)

    @task(rate="3/s")
    async def slow(self, input: N) -> Out:
        return Out(n=input.n)


def of(*numbers: int) -> list[N]:
    return [N(n=n) for n in numbers]


class Mapping(Base):
    async def run(self, input: N) -> Out:
        outs = await self.map(self.work, of(*range(6)), limit=2)
        return Out(text=" ".join(str(out.n) for out in outs))


def starts(finished: FinishedRun, name: str, seconds: float = 0.0) -> list[float]:
    """When the calls of a task were made, from their ends."""
    began = finished.exported.info.started_at
    return sorted(round(one.at - began - seconds, 3) for one in finished.ledger if one.task == name)


def test_map_gives_the_outputs_in_the_order_of_the_items() -> None:
    finished = run_app(Mapping, N(), durations={"work": lambda given: 6.0 - given.n})
    assert finished.output.text == "0 10 20 30 40 50"


def test_map_has_no_more_calls_at_once_than_its_limit() -> None:
    finished = run_app(Mapping, N(), durations={"work": 1.0})
    assert starts(finished, "work", 1.0) == [0, 0, 1, 1, 2, 2]


class Collecting(Base):
    async def run(self, input: N) -> Out:
        found = await self.map(self.work, of(1, -2, 3), on_error="collect")
        return Out(text=" ".join(one.type if isinstance(one, TaskFailedError) else str(one.n) for one in found))


def test_map_collects_failures_in_their_places() -> None:
    assert run_app(Collecting, N()).output.text == "10 ValueError 30"


class Raising(Base):
    async def run(self, input: N) -> Out:
        try:
            await self.map(self.work, of(-1, *range(1, 9)), limit=2)
        except TaskFailedError as error:
            await self.sleep(60)
            return Out(text=error.message)
        return Out()


def test_map_raises_the_first_failure_and_calls_no_more() -> None:
    finished = run_app(Raising, N(), durations={"work": lambda given: 1.0 if given.n < 0 else 5.0})
    assert finished.output.text == "-1 is negative"
    assert len(finished.executed) == 2


class Lined(Base):
    async def run(self, input: N) -> Out:
        later = asyncio.create_task(self.map(self.work, of(1, 2)))
        outs = await self.map(self.narrow, of(3, 4, 5), limit=1)
        return Out(n=len([*outs, *await later]))


def test_a_calls_line_is_where_map_is_called() -> None:
    finished = run_app(Lined, N())
    first = Lined.run.__code__.co_firstlineno
    lines = [(call.task, call.line) for call in finished.exported.calls]
    assert sorted(set(lines)) == [("narrow", f"{__file__}:{first + 2}"), ("work", f"{__file__}:{first + 1}")]


class Stopped(Base):
    async def run(self, input: N) -> Out:
        mapping = asyncio.create_task(self.map(self.work, of(*range(6)), limit=2, on_error="collect"))
        await asyncio.sleep(1.5)
        mapping.cancel()
        await asyncio.wait([mapping])
        await self.sleep(60)
        return Out(text=f"cancelled {mapping.cancelled()}")


def test_a_cancelled_map_cancels_its_calls_and_makes_no_more() -> None:
    finished = run_app(Stopped, N(), durations={"work": 1.0})
    assert finished.output.text == "cancelled True"
    outcomes = [one.outcome for one in finished.ledger if one.task == "work"]
    assert outcomes == ["Succeeded", "Succeeded", "Cancelled", "Cancelled"]


class Timed(Base):
    async def run(self, input: N) -> Out:
        try:
            async with asyncio.timeout(2.5):
                await self.map(self.work, of(*range(6)), limit=1)
        except TimeoutError:
            outs = await self.map(self.narrow, of(7, 8))
            return Out(text=" ".join(str(out.n) for out in outs))
        return Out()


def test_a_map_that_takes_too_long_is_given_up() -> None:
    finished = run_app(Timed, N(), durations={"work": 1.0})
    assert finished.output.text == "7 8"
    assert len([one for one in finished.ledger if one.task == "work"]) == 3


class Collected(Base):
    async def run(self, input: N) -> Out:
        found = await self.map(self.work, (N(n=n) for n in (-1, -1, 4)), limit=1, on_error="collect")
        return Out(text=" ".join(type(one).__name__ for one in found))


def test_map_takes_equal_items_of_a_generator() -> None:
    finished = run_app(Collected, N())
    assert finished.output.text == "TaskFailedError TaskFailedError Out"
    assert len({one.key for one in finished.ledger}) == 3


class NoTask(Base):
    async def run(self, input: N) -> Out:
        function: Any = lambda given: given  # noqa: E731
        await self.map(function, of(1))
        return Out()


def test_map_of_what_is_no_task_says_where_and_what() -> None:
    finished = run_app(NoTask, N())
    assert re.search(r"test_limits\.py:\d+: map\(\) takes a task of the app, such as self\.fetch", finished.message)


class Empty(Base):
    async def run(self, input: N) -> Out:
        with pytest.raises(MisuseError, match="whole number of calls from 1 up"):
            await self.map(self.work, of(1), limit=0)
        return Out(n=len(await self.map(self.work, [], limit=3)))


def test_map_of_nothing_is_nothing() -> None:
    assert run_app(Empty, N()).output.n == 0


def test_map_works_on_a_bare_instance() -> None:
    assert [out.n for out in asyncio.run(Mapping().map(Mapping().work, of(1, 2)))] == [10, 20]


class Limited(Base):
    async def run(self, input: N) -> Out:
        first = asyncio.gather(*(self.narrow(one) for one in of(1, 2, 3)))
        second = asyncio.gather(*(self.narrow(one) for one in of(4, 5)))
        return Out(n=sum(out.n for out in [*await first, *await second]))


def test_a_tasks_limit_holds_for_the_whole_run() -> None:
    finished = run_app(Limited, N(), durations={"narrow": 1.0})
    assert finished.output.n == 15
    assert starts(finished, "narrow", 1.0) == [0, 0, 1, 1, 2]


class Rated(Base):
    async def run(self, input: N) -> Out:
        outs = await self.map(self.slow, of(*range(8)))
        return Out(n=len(outs))


def test_a_rate_is_kept_by_durable_timers() -> None:
    finished = run_app(Rated, N())
    assert starts(finished, "slow") == [0, 0, 0, 1, 1, 1, 2, 2]
    assert [one.task for one in finished.ledger if one.task != "slow"] == ["sleep"] * 2


class Spread(Base):
    async def run(self, input: N) -> Out:
        await self.slow(N(n=0))
        await self.sleep(0.9)
        outs = await self.map(self.slow, of(1, 2, 3, 4, 5))
        return Out(n=len(outs))


def test_no_span_has_more_calls_than_its_rate() -> None:
    assert starts(run_app(Spread, N()), "slow") == [0, 0.9, 0.9, 1, 1.9, 1.9]


class Both(Base):
    async def run(self, input: N) -> Out:
        waiting = asyncio.create_task(self.narrow(N(n=9)))
        others = [asyncio.create_task(self.narrow(one)) for one in of(1, 2, 3)]
        await asyncio.sleep(0.5)
        others[2].cancel()
        await asyncio.wait([waiting, *others])
        outs = await self.map(self.slow, of(*range(5)), limit=4)
        return Out(n=len(outs))


@pytest.mark.slow
@pytest.mark.parametrize("app", [Mapping, Raising, Limited, Rated, Spread, Both, Lined, Stopped, Timed, Collected])
def test_a_replay_makes_the_same_calls(app: type[Base]) -> None:
    assert check_durability(app, N(), orders=3).complete


def test_a_cancelled_call_gives_its_place_up() -> None:
    finished = run_app(Both, N(), durations={"narrow": 1.0})
    assert sorted(one.input["n"] for one in finished.executions if one.task == "narrow") == [1, 2, 9]


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": True}, {"rate": "10"}, {"rate": "0/s"}, {"rate": 5}])
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AppDefinitionError, match=r"@task at .*: (limit|rate)=.* must be"):
        task(**options)
