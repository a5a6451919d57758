"""The whole operator but kopf, in virtual time: nothing that it does on purpose may look like a
hanging process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp.test_utils import make_mocked_request
from tests.support import virtual_time
from tests.support.fake_api import FakeApi, FakeServer
from tests.support.virtual_time import wall

from apprun_operator import health, main
from apprun_operator.leader.elector import LeaderElector
from apprun_operator.leader.gate import LeaderGate
from apprun_operator.leader.lease import Election
from apprun_operator.settings import Settings, from_environment
from apprun_operator.telemetry.metrics import Metrics

TEN_MINUTES = 600
SETTINGS = {"APPRUN_RUNTIME_IMAGE": "runtime:1", "APPRUN_LEASE": "apprun-system/apprun", "APPRUN_POD_NAME": "apprun-1"}


class Operator:
    """One replica with an election, as `main` puts it together, and the answer that its probe gets."""

    def __init__(self, settings: Settings, kopf_is_up: Callable[[], bool], clock: Callable[[], float] = wall) -> None:
        server = FakeServer(wall)
        assert settings.lease is not None
        ticks = asyncio.get_running_loop().time
        self.elector = LeaderElector(settings.lease, Election(settings.identity), ticks, wall)
        self.gate, metrics = LeaderGate(self.elector), Metrics()
        api = FakeApi(server, "operator")
        parts = main.build(settings, api, self.gate, metrics, clock, ticks)
        self.informers = [*parts.watching, *parts.listing]
        self.probed = health.application(self.informers, {}, metrics)
        self.tasks = [
            asyncio.create_task(self.elector.run(api)),
            asyncio.create_task(main.run(settings, parts, kopf_is_up, self.gate)),
        ]

    async def probe(self) -> int:
        request = make_mocked_request("GET", "/healthz", app=self.probed)
        answer = await (await self.probed.router.resolve(request)).handler(request)
        return int(answer.status)

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize("kopf_is_up", [True, False])
def test_a_leader_is_alive_for_its_whole_term(kopf_is_up: bool) -> None:
    async def scenario() -> None:
        operator = Operator(from_environment(SETTINGS), lambda: kopf_is_up)
        answers: set[int] = set()
        while not operator.gate.is_leading:  # noqa: ASYNC110 (the term has no event)
            await asyncio.sleep(0.1)
        for _ in range(TEN_MINUTES):
            await asyncio.sleep(1)
            assert operator.gate.is_leading
            answers.add(await operator.probe())
        await operator.stop()
        assert answers == {200}

    virtual_time.run(scenario())


def test_a_time_of_day_that_is_corrected_is_no_silence() -> None:
    off = 0.0

    async def scenario() -> None:
        nonlocal off
        operator = Operator(from_environment(SETTINGS), lambda: True, lambda: wall() + off)
        await asyncio.sleep(60)
        off = 3600.0
        assert [one.silence for one in operator.informers] == [pytest.approx(0, abs=60)] * len(operator.informers)
        assert await operator.probe() == 200
        await operator.stop()

    virtual_time.run(scenario())
