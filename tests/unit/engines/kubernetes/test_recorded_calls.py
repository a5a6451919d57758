"""The engine of a driver and its driver tasks: what is executed here, and what this driver or another has recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.kube import eventually
from tests.support.run_world import RUN, UID, RunWorld
from tests.support.wire_server import Handler, Request, refuse
from tests.unit.engines.kubernetes.test_driver import key, no_pause, scheduled
from tests.unit.engines.kubernetes.test_driver_tasks import INFO, POLICY, Scripted

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.app_tasks import Owner
from application_sdk.engines.kubernetes.driver import KubernetesEngine
from application_sdk.engines.kubernetes.driver_calls import CallContext
from application_sdk.execution.engine import CANCEL_KEY

OUTCOME: dict[str, Any] = {
    "phase": "Succeeded",
    "attempt": 1,
    "output": {"n": 7},
    "startedAt": "2026-01-02T03:04:05Z",
    "finishedAt": "2026-01-02T03:04:06Z",
}


class Bench:
    def __init__(self, engine: KubernetesEngine) -> None:
        self.engine = engine
        self.executor = Scripted()
        engine.start_driver_tasks(self.executor, CallContext(INFO, RUN, "node1"))

    def schedule(self, number: int, **fields: Any) -> str:
        call = scheduled(number, **({"policy": POLICY, "runs_in": "driver"} | fields))
        self.engine.schedule([call])
        return call.key

    def until_begun(self, count: int) -> None:
        eventually(f"{count} attempts", lambda: len(self.executor.works) >= count or None, 10)

    def settle(self) -> None:
        """Let the thread of the driver tasks obey all that it was told."""
        done = threading.Event()
        assert self.engine._driver_tasks is not None
        self.engine._driver_tasks._post(done.set)
        assert done.wait(10)


@pytest.fixture
def open_bench(open_engine: Callable[[float], KubernetesEngine]) -> Callable[..., Bench]:
    def open_one(silence: float = 300.0) -> Bench:
        return Bench(open_engine(silence))

    return open_one


Open = Callable[..., Bench]


def add_recorded(world: RunWorld, number: int) -> str:
    """What an earlier driver of the run has recorded."""
    world.add_task(key(number), role="local")
    world.tasks[f"{RUN}-{key(number)[:16]}"]["spec"]["outcome"] = dict(OUTCOME)
    return key(number)


def test_outcome_is_recorded_with_the_call_and_delivered(open_bench: Open, world: RunWorld) -> None:
    bench = open_bench()
    call = bench.schedule(1)
    bench.until_begun(1)
    assert world.tasks == {}, "nothing is known of a call before its outcome"
    bench.executor.end(call, {"n": 1})
    [completion] = bench.engine.receive()
    assert (completion.key, completion.output) == (call, {"n": 1})
    [task] = world.tasks.values()
    assert (task["spec"]["role"], task["spec"]["outcome"]["output"]) == ("local", {"n": 1})


def test_recorded_call_that_waits_for_its_commit_is_not_executed(open_bench: Open, world: RunWorld) -> None:
    call = add_recorded(world, 1)
    bench = open_bench()
    assert bench.engine.in_flight() == [call]
    bench.schedule(1)
    bench.settle()
    assert bench.executor.works == []
    world.commit(call)
    [completion] = bench.engine.receive()
    assert completion.output == {"n": 7}


def test_record_that_came_first_is_delivered(open_bench: Open, world: RunWorld) -> None:
    bench = open_bench()
    call = bench.schedule(1)
    bench.until_begun(1)
    add_recorded(world, 1)
    bench.executor.end(call, {"n": 1})
    world.commit(call)
    [completion] = bench.engine.receive()
    assert completion.output == {"n": 7}


def test_silence_repeats_no_call_that_is_executed_here(open_bench: Open, world: RunWorld) -> None:
    bench = open_bench(silence=0.05)
    bench.schedule(1)
    bench.until_begun(1)
    waiting = threading.Thread(target=bench.engine.receive, daemon=True)
    waiting.start()
    time.sleep(0.5)
    assert len(bench.executor.works) == 1
    bench.executor.end(key(1), {"n": 1})
    waiting.join(10)
    assert not waiting.is_alive()


def test_outcome_that_nobody_takes_is_recorded_as_a_failure(
    open_bench: Open, world: RunWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = world._create

    def strict(handler: Handler, request: Request) -> None:
        if request.json["spec"]["outcome"]["phase"] == "Succeeded":
            refuse(422, "Invalid", "output: Too long")(handler, request)
        else:
            create(handler, request)

    monkeypatch.setattr(world, "_create", strict)
    bench = open_bench()
    call = bench.schedule(1)
    bench.until_begun(1)
    bench.executor.end(call, {"n": 1})
    [completion] = bench.engine.receive()
    assert completion.error is not None
    assert (completion.outcome, completion.error["type"]) == ("Failed", "ReportRefused")
    assert "Too long" in completion.error["message"]


def test_abandoned_call_is_recorded_as_cancelled(open_bench: Open, world: RunWorld) -> None:
    bench = open_bench()
    call = bench.schedule(1, policy=POLICY)
    bench.until_begun(1)
    bench.engine.abandon([call])
    eventually("it is asked to end", lambda: bench.executor.cancelled or None, 10)
    bench.executor.end(call)
    [completion] = bench.engine.receive()
    assert completion.outcome == "Cancelled"
    assert f"{RUN}-driver" not in world.reports, "the operator has nothing to cancel"


def test_cancelled_run_ends_calls_that_nobody_has_abandoned(open_bench: Open, world: RunWorld) -> None:
    bench = open_bench()
    call = bench.schedule(1)
    bench.until_begun(1)
    world.cancel()
    assert [completion.key for completion in bench.engine.receive()] == [CANCEL_KEY]
    eventually("it is asked to end", lambda: bench.executor.cancelled or None, 10)
    bench.executor.end(call)
    [completion] = bench.engine.receive()
    assert (completion.key, completion.outcome) == (call, "Cancelled")


def test_suspended_run_begins_no_call(open_bench: Open, world: RunWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.run
    monkeypatch.setattr(world, "run", lambda: {**run(), "spec": {"input": {}, "suspend": True}})
    bench = open_bench()
    bench.schedule(1)
    bench.settle()
    assert bench.executor.works == []
    monkeypatch.setattr(world, "run", run)
    world.touch()
    bench.until_begun(1)


def test_run_suspended_after_opening_begins_no_call(api: Api, world: RunWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = KubernetesEngine.open(api, Owner(RUN, UID), no_pause)
    try:
        run = world.run
        monkeypatch.setattr(world, "run", lambda: {**run(), "spec": {"input": {}, "suspend": True}})
        world.touch()
        eventually("the suspension", lambda: engine._suspended or None, 10)
        bench = Bench(engine)
        bench.schedule(1)
        bench.settle()
        assert bench.executor.works == []
    finally:
        engine.close()
        world.touch()
        for thread in threading.enumerate():
            if thread.name == "follow":
                thread.join(10)


def test_app_decides_where_a_task_is_executed(open_bench: Open, world: RunWorld) -> None:
    world.status["app"] = {"tasks": {"work": {"runsIn": "pod"}, "other": {}}}
    assert open_bench().engine.placement_overrides == {"work": "pod"}
