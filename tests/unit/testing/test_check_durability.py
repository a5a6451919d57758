"""check_durability finds what a crash would show, with the smallest schedule; a sound app passes."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from application_sdk.app import App, TaskFailedError, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import DurabilityError, Schedule, check_durability


class N(Input):
    n: int = 0


class Out(Output):
    n: int = 0


class Base(App, abstract=True):
    @task
    async def work(self, input: N) -> Out:
        return Out(n=input.n + 1)

    @task
    async def other(self, input: N) -> Out:
        return Out(n=-input.n)


class Sound(Base):
    async def run(self, input: N) -> Out:
        outs = await asyncio.gather(*(self.work(N(n=n)) for n in range(4)))
        try:
            async with asyncio.timeout(3):
                await self.other(N(n=sum(out.n for out in outs)))
        except (TimeoutError, TaskFailedError):
            await asyncio.sleep(60)
        return await self.work(N(n=self.random().randrange(1000)))


def test_a_sound_app_passes_in_all_orders() -> None:
    report = check_durability(Sound, N(), orders=3)
    assert report.orders == 3
    assert report.checkpoints == 6
    assert report.crashes > 3 * 6


@pytest.mark.slow
def test_a_sound_app_passes_with_failures() -> None:
    check_durability(Sound, N(), orders=2, failures={"work": [ValueError()], "other": ValueError()})


def test_state_outside_the_route_is_found_by_the_smallest_schedule() -> None:
    counter = itertools.count()

    class Counting(Base):
        async def run(self, input: N) -> Out:
            await self.work(N(n=0))
            return await self.work(N(n=next(counter)))

    with pytest.raises(DurabilityError) as caught:
        check_durability(Counting, N())
    said = str(caught.value)
    assert said.startswith("Counting is not durable.\nSmallest schedule found: completions as called; restarted after")
    assert "input field n: " in said
    assert "schedule=Schedule(order=0, crash=None)" in said
    assert caught.value.schedule == Schedule(0, None)


def test_an_unguarded_read_that_changes_the_output_is_found() -> None:
    counter = itertools.count()

    class Reading(Base):
        async def run(self, input: N) -> Out:
            with self.unguarded():
                seen = next(counter)
            await self.work(input)
            return Out(n=seen)

    with pytest.raises(DurabilityError, match="the output differs, without the crash → with it:\n  n: 0 → 1"):
        check_durability(Reading, N())


def test_another_continuation_is_found() -> None:
    counter = itertools.count()

    class Continuing(Base):
        async def run(self, input: N) -> Out:
            with self.unguarded():
                seen = next(counter)
            await self.work(input)
            self.continue_with(N(n=seen))

    with pytest.raises(DurabilityError, match=r"the input that it continues with differs, .*:\n  n: 0 → 1"):
        check_durability(Continuing, N())


def test_another_failure_is_found() -> None:
    counter = itertools.count()

    class Failing(Base):
        async def run(self, input: N) -> Out:
            with self.unguarded():
                seen = next(counter)
            await self.work(input)
            raise ValueError if seen == 0 else KeyError

    with pytest.raises(DurabilityError, match=r'the error differs, .*:\n  type: "ValueError" → "KeyError"'):
        check_durability(Failing, N())


def test_what_only_one_order_of_completion_shows_is_found() -> None:
    lives: list[int] = []

    class Ordered(Base):
        async def run(self, input: N) -> Out:
            lives.append(1)
            calls = [asyncio.create_task(self.work(N(n=n))) for n in range(3)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            first = next(iter(done)).result().n
            # Wrong only if the last call was first, which it is in no natural order.
            await asyncio.gather(*calls)
            return await self.other(N(n=len(lives) if first == 3 else first))

    with pytest.raises(DurabilityError) as caught:
        check_durability(Ordered, N(), orders=30)
    assert caught.value.schedule.order > 0
    assert "completions shuffle" in str(caught.value)


def test_a_schedule_reproduces_alone() -> None:
    assert check_durability(Sound, N(), schedule=Schedule(order=2, crash=3)).crashes == 1


def test_blocking_io_in_the_route_is_told() -> None:
    class Blocking(Base):
        async def run(self, input: N) -> Out:
            open("/etc/hostname").close()  # noqa: PTH123, ASYNC230
            return await self.work(input)

    with pytest.raises(DurabilityError, match=r"test_check_durability\.py:\d+: open\('/etc/hostname'\) in the route"):
        check_durability(Blocking, N())


def test_several_ends_of_a_race_are_reported() -> None:
    class Race(Base):
        async def run(self, input: N) -> Out:
            calls = [asyncio.create_task(self.work(N(n=n))) for n in range(3)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()

    assert len(check_durability(Race, N(), orders=12).outcomes) > 1


class ByHash(Base):
    """Calls its tasks in the order of a set of texts, which is another one in each process."""

    async def run(self, input: N) -> Out:
        for name in {f"name-{number}" for number in range(20)}:
            await self.work(N(n=int(name.rpartition("-")[2])))
        return Out()


class Reachable(Sound):
    """Sound, and at the top level of its module."""


@pytest.mark.slow
def test_the_order_of_a_set_is_found_in_another_process() -> None:
    with pytest.raises(DurabilityError) as caught:
        check_durability(ByHash, N(), orders=1, max_crashes=2)
    assert "restarted after its end in another process, with PYTHONHASHSEED=" in str(caught.value)
    assert "input field n: " in str(caught.value)


@pytest.mark.slow
def test_a_sound_app_passes_in_other_processes() -> None:
    assert check_durability(Reachable, N(), orders=1).processes == 2


def test_other_processes_can_be_left_out() -> None:
    assert check_durability(Reachable, N(), orders=1, processes=0).processes == 0


def test_no_drawn_order_uses_up_the_time_of_a_task() -> None:
    class Limited(App):
        @task(timeout_seconds=0.5, retry_max_attempts=1)
        async def quick(self, input: N) -> Out:
            return Out(n=input.n)

        async def run(self, input: N) -> Out:
            first = await self.quick(N(n=1))
            second = await self.quick(N(n=2))
            return await self.quick(N(n=first.n + second.n))

    report = check_durability(Limited, N(), processes=0)
    # Each order has the same steps: none of them ends at a task whose time was over.
    assert report.crashes % report.orders == 0
    assert report.crashes == report.orders * check_durability(Limited, N(), orders=1, processes=0).crashes
