"""When a driver leaves: its route only waits, and nothing that it waits for depends on this process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.support.pods import PodProcess
from tests.support.run_world import RunWorld
from tests.support.wire_server import Handler, Request, WireServer
from tests.unit.engines.kubernetes.test_driver import scheduled
from tests.unit.engines.kubernetes.test_driver_main import APP, DRIVER, driver_call
from tests.unit.engines.kubernetes.test_driver_tasks import POLICY
from tests.unit.engines.kubernetes.test_recorded_calls import Bench

from application_sdk.engines.kubernetes.driver import DriverParked, KubernetesEngine
from application_sdk.wire.pod import EXIT_REPORTED

Open = Callable[..., KubernetesEngine]


@pytest.fixture
def world(server: WireServer) -> RunWorld:
    world = RunWorld()
    world.status = {"app": {"parkAfterSeconds": 1}}
    server.always = world
    return world


def test_route_that_waits_for_a_recorded_call_needs_no_driver(open_engine: Open) -> None:
    engine = open_engine()
    engine.schedule([scheduled(1)])
    with pytest.raises(DriverParked) as parked:
        engine.receive()
    assert parked.value.ledger_length == 0


def test_delivered_checkpoints_are_counted(open_engine: Open, world: RunWorld) -> None:
    engine = open_engine()
    engine.schedule([scheduled(1), scheduled(2)])
    world.add_task(scheduled(1).key)
    world.finish(scheduled(1).key, {"n": 1})
    world.commit(scheduled(1).key)
    assert len(engine.receive()) == 1
    with pytest.raises(DriverParked) as parked:
        engine.receive()
    assert parked.value.ledger_length == 1


@pytest.mark.parametrize("seconds", [0, None])
def test_driver_stays_where_nobody_would_start_the_next(
    open_engine: Open, world: RunWorld, seconds: int | None
) -> None:
    world.status = {"app": {} if seconds is None else {"parkAfterSeconds": seconds}}
    engine = open_engine(recheck_seconds=0.2)
    assert not engine._park_after


def test_driver_waits_until_its_calls_are_recorded(open_engine: Open, world: RunWorld, server: WireServer) -> None:
    answered = threading.Event()

    def slow(handler: Handler, request: Request) -> None:
        if request.method == "POST":
            assert answered.wait(20)
        world(handler, request)

    server.always = slow
    engine = open_engine()
    engine.schedule([scheduled(1)])
    assert not engine._may_park()
    answered.set()
    with pytest.raises(DriverParked):
        engine.receive()


def test_driver_that_executes_a_call_itself_stays(open_engine: Open) -> None:
    engine = open_engine()
    bench = Bench(engine)
    bench.schedule(1, policy=POLICY)
    bench.until_begun(1)
    assert not engine._may_park()


def test_parked_driver_says_so_and_ends_well(pod: PodProcess, world: RunWorld) -> None:
    pod.write(driver_call(input={"page": 4}), app=f"{APP}        return await self.work(input)\n")
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    assert world.reports[DRIVER] == {"parked": {"attempt": 1, "ledgerLength": 0, "openCalls": 1}}
