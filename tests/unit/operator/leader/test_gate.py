"""Work is done in terms: it begins when leadership does, ends with it, and nothing of it is written
afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Place
from tests.support.virtual_time import wall

from apprun_operator.leader.fenced_client import FencedClient, NotLeadingError
from apprun_operator.leader.gate import LeaderGate

RUN = {"metadata": {"name": "r"}, "spec": {}}
COLLECTION = "/apis/apprun.dev/v1alpha1/namespaces/default/appruns"


class Leader:
    """Leadership as a test says: `now` is the term."""

    def __init__(self) -> None:
        self.now = 0
        self.attended = 0

    def heartbeat(self) -> int:
        self.attended += 1
        return self.now

    def term(self) -> int:
        return self.now


class Bench:
    def __init__(self) -> None:
        self.leader = Leader()
        self.gate = LeaderGate(self.leader)
        self.working: list[int] = []
        self.begun: list[int] = []

    async def work(self) -> None:
        term = self.leader.now
        self.begun.append(term)
        self.working.append(term)
        try:
            await asyncio.Event().wait()
        finally:
            self.working.remove(term)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    task = asyncio.create_task(made.gate.run(made.work))
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert made.working == []


def test_a_standby_does_no_work_and_says_that_it_could() -> None:
    async def scenario() -> None:
        async with bench() as it:
            await asyncio.sleep(10)
            assert it.begun == []
            assert it.leader.attended > 10
            assert not it.gate.is_leading
            assert not it.gate.may_write()

    virtual_time.run(scenario())


def test_work_begins_and_ends_with_leadership() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.leader.now = 1
            await asyncio.sleep(1)
            assert it.working == [1]
            assert it.gate.is_leading
            it.leader.now = 0
            await asyncio.sleep(1)
            assert it.working == []
            assert not it.gate.is_leading

    virtual_time.run(scenario())


def test_a_new_term_is_new_work_even_when_nobody_led_between() -> None:
    """What the old work knows may be older than what somebody else did meanwhile."""

    async def scenario() -> None:
        async with bench() as it:
            it.leader.now = 1
            await asyncio.sleep(1)
            it.leader.now = 2
            await asyncio.sleep(1)
            assert it.begun == [1, 2]
            assert it.working == [2]

    virtual_time.run(scenario())


def test_work_of_an_expired_term_may_not_write() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.leader.now = 1
            await asyncio.sleep(1)
            assert it.gate.may_write()
            it.leader.now = 2
            assert it.working == [1]
            assert not it.gate.may_write()

    virtual_time.run(scenario())


def test_work_that_fails_by_itself_is_a_bug_and_shown() -> None:
    async def scenario() -> None:
        leader = Leader()
        leader.now = 1

        async def work() -> None:
            raise KeyError("bug")

        gate = LeaderGate(leader)
        with pytest.raises(KeyError):
            await gate.run(work)
        assert not gate.may_write()

    virtual_time.run(scenario())


def test_the_fence_lets_nothing_through_but_reading() -> None:
    async def scenario() -> None:
        server = FakeServer(wall)
        leading = True
        fenced = FencedClient(FakeApi(server, "operator"), lambda: leading)
        await fenced.create(COLLECTION, RUN)
        leading = False
        before = list(server.writes)
        with pytest.raises(NotLeadingError):
            await fenced.create(COLLECTION, {**RUN, "metadata": {"name": "other"}})
        with pytest.raises(NotLeadingError):
            await fenced.patch(f"{COLLECTION}/r/status", {"status": {}})
        with pytest.raises(NotLeadingError):
            await fenced.delete(f"{COLLECTION}/r", {})
        assert server.writes == before
        assert (await fenced.get(f"{COLLECTION}/r"))["metadata"] == server.objects[Place("appruns", "default", "r")][
            "metadata"
        ]

    virtual_time.run(scenario())
