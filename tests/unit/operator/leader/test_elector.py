"""Candidates against an API server, in virtual time: whatever it does, and whoever is stopped,
never do two lead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer, Place, no_fault
from tests.support.virtual_time import wall

from application_sdk.wire.digest import JSONObject
from apprun_operator.kube.errors import ForbiddenError, UnavailableError
from apprun_operator.leader.elector import LeaderElector
from apprun_operator.leader.lease import Election
from apprun_operator.observe.times import parse

WHERE = ("apprun-system", "apprun")
PLACE = Place("leases", *WHERE)
OWNER: JSONObject = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "apprun", "uid": "u-1"}


class Replica:
    """A candidate whose process can be stopped and continued, killed, or shut down; it attends
    while it isn't stuck."""

    def __init__(self, server: FakeServer, name: str, jitter: random.Random | None = None) -> None:
        self.name = name
        self.jitter = jitter
        self.stuck = False
        self.going = asyncio.Event()
        self.going.set()
        self.down: Exception | None = None
        self.api = FakeApi(server, name, self.fault)
        self.elector = LeaderElector(WHERE, Election(name), asyncio.get_running_loop().time, wall, OWNER)
        self.tasks = [
            asyncio.create_task(self.elector.run(self.api, self.sleep)),
            asyncio.create_task(self.heartbeat()),
        ]

    async def fault(self, moment: str, call: str) -> None:
        if self.jitter is not None:
            await asyncio.sleep(self.jitter.choice([0, 0, 0, 0.3, 1.2, 5]))
            if self.jitter.random() < 0.1:
                raise UnavailableError("broken")
        await self.going.wait()
        if self.down is not None:
            raise self.down

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.going.wait()

    async def heartbeat(self) -> None:
        while True:
            if not self.stuck and not self.stopped:
                self.elector.heartbeat()
            await asyncio.sleep(0.2)

    @property
    def stopped(self) -> bool:
        return not self.going.is_set()

    def stop(self) -> None:
        self.going.clear()

    def go_on(self) -> None:
        self.going.set()

    @property
    def leads(self) -> bool:
        return self.elector.term() != 0

    async def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def shut_down(self) -> None:
        await self.kill()
        await self.elector.release(self.api)


async def until(what: Callable[[], bool], seconds: float) -> float:
    """Seconds until it was so."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not what():
        assert loop.time() - started < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.05)
    return loop.time() - started


async def pair() -> tuple[FakeServer, Replica, Replica]:
    """A leader, and a standby that knows it."""
    server = FakeServer(wall)
    first = Replica(server, "a")
    await until(lambda: first.leads, 5)
    second = Replica(server, "b")
    await asyncio.sleep(7)
    return server, first, second


def test_the_lease_goes_with_the_operators_service_account() -> None:
    async def main() -> None:
        server, _, _ = await pair()
        assert server.objects[PLACE]["metadata"]["ownerReferences"] == [OWNER]

    virtual_time.run(main())


def test_one_leads_and_goes_on_leading() -> None:
    async def main() -> None:
        server, first, second = await pair()
        for _ in range(600):
            await asyncio.sleep(0.5)
            assert first.leads
            assert not second.leads
        assert first.elector.term() == 1
        assert server.objects[PLACE]["spec"]["leaseTransitions"] == 0

    virtual_time.run(main())


def test_a_killed_leader_is_succeeded_within_15_seconds() -> None:
    async def main() -> None:
        server, first, second = await pair()
        await first.kill()
        await until(lambda: second.leads, 15)
        spec = server.objects[PLACE]["spec"]
        assert spec["holderIdentity"] == "b"
        assert spec["leaseTransitions"] == 1
        assert parse(spec["acquireTime"]) <= wall()

    virtual_time.run(main())


def test_an_orderly_end_is_followed_at_the_next_look() -> None:
    async def main() -> None:
        _, first, second = await pair()
        await first.shut_down()
        assert not first.leads
        assert await until(lambda: second.leads, 15) <= 2.1

    virtual_time.run(main())


def test_a_standby_that_ends_gives_nothing_away() -> None:
    async def main() -> None:
        server, first, second = await pair()
        await second.shut_down()
        assert server.objects[PLACE]["spec"]["holderIdentity"] == "a"
        assert first.leads

    virtual_time.run(main())


def test_a_restarted_container_leads_again_without_waiting() -> None:
    async def main() -> None:
        server, first, _ = await pair()
        await first.kill()
        again = Replica(server, "a")
        assert await until(lambda: again.leads, 15) < 1

    virtual_time.run(main())


def test_a_stopped_leader_does_not_lead_when_it_goes_on() -> None:
    async def main() -> None:
        _, first, second = await pair()
        first.stop()
        await until(lambda: second.leads, 15)
        await asyncio.sleep(10)
        first.go_on()
        for _ in range(200):
            assert not first.leads
            await asyncio.sleep(0.05)
        assert second.leads

    virtual_time.run(main())


def test_leader_that_was_stopped_resumes_in_a_new_term() -> None:
    async def main() -> None:
        server = FakeServer(wall)
        only = Replica(server, "a")
        await until(lambda: only.leads, 5)
        only.stop()
        await asyncio.sleep(30)
        assert not only.leads
        only.go_on()
        await until(lambda: only.leads, 5)
        assert only.elector.term() == 2

    virtual_time.run(main())


def test_a_leader_whose_main_loop_hangs_is_succeeded() -> None:
    async def main() -> None:
        _, first, second = await pair()
        first.stuck = True
        await until(lambda: second.leads, 45)
        assert not first.leads

    virtual_time.run(main())


def test_unavailable_api_server_ends_leadership_not_the_process() -> None:
    async def main() -> None:
        _, first, second = await pair()
        first.down = second.down = UnavailableError("down")
        await asyncio.sleep(600)
        assert not first.leads
        assert not second.leads
        first.down = second.down = None
        await until(lambda: first.leads or second.leads, 5)

    virtual_time.run(main())


def test_an_answer_that_nobody_expected_ends_nothing() -> None:
    async def main() -> None:
        _, first, second = await pair()
        first.down = second.down = KeyError("metadata")
        await asyncio.sleep(60)
        first.down = second.down = None
        await until(lambda: first.leads or second.leads, 5)

    virtual_time.run(main())


def test_a_call_that_hangs_costs_less_than_a_renewal() -> None:
    async def main() -> None:
        _, first, _ = await pair()
        first.stop()  # its requests hang, its clock and its main loop go on
        await asyncio.sleep(3)
        first.go_on()
        await asyncio.sleep(5)
        assert first.elector.term() == 1

    virtual_time.run(main())


def test_who_may_not_read_the_lease_is_not_informed() -> None:
    async def main() -> None:
        replica = Replica(FakeServer(wall), "a")
        replica.down = ForbiddenError("no")
        await asyncio.sleep(10)
        assert not replica.elector.has_read_lease
        replica.down = None
        await until(lambda: replica.elector.has_read_lease, 5)

    virtual_time.run(main())


def test_a_lease_deleted_by_hand_changes_no_leader() -> None:
    async def main() -> None:
        server, first, second = await pair()
        server.remove(PLACE)
        for _ in range(300):
            await asyncio.sleep(0.1)
            assert first.leads
            assert not second.leads
        assert PLACE in server.objects

    virtual_time.run(main())


def test_a_lease_labelled_by_hand_changes_no_leader() -> None:
    async def main() -> None:
        server, first, _ = await pair()
        for _ in range(40):
            server.put("MODIFIED", PLACE, server.objects[PLACE])
            await asyncio.sleep(0.7)
        assert first.elector.term() == 1

    virtual_time.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_two_never_lead_at_a_time_whatever_happens(seed: int) -> None:
    async def main() -> None:
        jitter = random.Random(seed)
        server = FakeServer(wall)
        replicas = [Replica(server, name, random.Random(f"{seed}{name}")) for name in "abc"]
        led: set[str] = set()
        for _ in range(4000):
            await asyncio.sleep(0.05)
            leading = [replica.name for replica in replicas if replica.leads]
            assert len(leading) <= 1, f"{leading} at {asyncio.get_running_loop().time():.2f}"
            led.update(leading)
            one = jitter.choice(replicas)
            event = jitter.random()
            if event < 0.004:
                one.go_on() if one.stopped else one.stop()
            elif event < 0.006:
                one.stuck = not one.stuck
            elif event < 0.007:
                await one.shut_down()
                replicas[replicas.index(one)] = Replica(server, f"{one.name}'", one.jitter)
            elif event < 0.008 and PLACE in server.objects:
                server.put("MODIFIED", PLACE, server.objects[PLACE])
        assert led, "nobody ever led: nothing was tested"
        for replica in replicas:
            replica.stuck = False
            replica.go_on()
            replica.jitter = None
            replica.api = FakeApi(server, replica.name, no_fault)
        await until(lambda: any(replica.leads for replica in replicas), 30)

    virtual_time.run(main())
