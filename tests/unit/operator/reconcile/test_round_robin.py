"""Places for requests: runs take turns, however many requests each has."""

from __future__ import annotations

import asyncio

from apprun_operator.observe.records import Key
from apprun_operator.reconcile.round_robin import RoundRobin

LARGE, SMALL = Key("default", "large"), Key("default", "small")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Office:
    """Requests that end when they are told to, and the order in which they began."""

    def __init__(self, places: int) -> None:
        self.slots = RoundRobin(places)
        self.began: list[str] = []
        self.ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    def request(self, run: Key, count: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._serve(run)) for _ in range(count)]

    async def _serve(self, run: Key) -> None:
        async with self.slots.slot(run):
            self.began.append(run.name)
            end = asyncio.Event()
            self.ends.append(end)
            await end.wait()

    async def finish_one(self) -> None:
        self.ends.pop(0).set()
        await settle()

    async def finish_all(self) -> None:
        while self.ends:
            await self.finish_one()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def test_no_more_than_the_places_work_at_a_time() -> None:
    async def scenario() -> None:
        office = Office(3)
        office.request(LARGE, 10)
        await settle()
        assert len(office.began) == 3
        await office.finish_all()
        assert len(office.began) == 10

    asyncio.run(scenario())


def test_run_with_one_request_waits_for_one_of_the_run_with_many() -> None:
    async def scenario() -> None:
        office = Office(1)
        office.request(LARGE, 1000)
        await settle()
        office.request(SMALL)
        await settle()
        await office.finish_one()
        await office.finish_one()
        assert office.began == ["large", "large", "small"]
        await office.finish_all()

    asyncio.run(scenario())


def test_cancelled_request_leaves_its_slot_to_the_next() -> None:
    async def scenario() -> None:
        office = Office(1)
        office.request(LARGE, 3)
        await settle()
        office.tasks[1].cancel()
        office.tasks[0].cancel()
        await settle()
        assert office.began == ["large", "large"]
        office.ends = office.ends[1:]
        await office.finish_all()

    asyncio.run(scenario())


def test_request_cancelled_in_the_moment_of_its_turn_gives_it_on() -> None:
    async def scenario() -> None:
        office = Office(1)
        office.request(LARGE, 3)
        await settle()
        office.ends.pop(0).set()
        await asyncio.sleep(0)
        office.tasks[1].cancel()
        await settle()
        assert len(office.began) == 2
        await office.finish_all()

    asyncio.run(scenario())
