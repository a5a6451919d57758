"""A run's input is completed once, when the run begins: no later life asks for its defaults again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.frozen import source
from tests.support.kube import eventually
from tests.support.pods import PodProcess
from tests.support.run_world import RunWorld
from tests.support.wire_server import WireServer
from tests.unit.engines.kubernetes.test_driver_main import DRIVER, driver_call


@pytest.fixture
def world(server: WireServer) -> RunWorld:
    world = RunWorld()
    server.always = world
    return world


def called_with(pod: PodProcess, world: RunWorld, limit: int, **fields: Any) -> str:
    pod.write(driver_call(input={"name": "Ada"}, entry="app:Frozen", **fields), app=source(limit))
    with pod.start() as process:
        eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
        process.kill()
    (made,) = world.tasks.values()
    return str(made["spec"]["input"]["text"])


def test_a_driver_records_the_input_before_its_first_call(pod: PodProcess, world: RunWorld, server: WireServer) -> None:
    world.input = {"name": "Ada"}
    first = called_with(pod, world, 10, replayRules=2)
    requests = [(one.method, one.target.partition("?")[0].rpartition("/")[2]) for one in server.requests]
    assert requests.index(("PATCH", "status")) < requests.index(("POST", "apptasks"))
    record = world.reports[DRIVER]["begunWith"]
    assert first == f"Ada 10 {record['input']['token']}"


@pytest.mark.slow
def test_a_later_driver_begins_with_what_is_recorded(pod: PodProcess, world: RunWorld) -> None:
    world.input = {"name": "Ada"}
    first = called_with(pod, world, 10, replayRules=2)
    world.tasks.clear()
    world.driver = {"begunWith": world.reports[DRIVER]["begunWith"]}
    assert called_with(pod, world, 20, replayRules=2) == first
    world.tasks.clear()
    world.input = {"name": "Ada", "limit": 30}  # Corrected while nothing was committed: the record is void.
    pod.write(driver_call(input=world.input, entry="app:Frozen", replayRules=2), app=source(20))
    with pod.start() as process:
        eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
        process.kill()
    (made,) = world.tasks.values()
    assert made["spec"]["input"]["text"].startswith("Ada 30 ")


def test_a_complete_input_costs_no_write(pod: PodProcess, world: RunWorld) -> None:
    given = {"name": "Ada", "limit": 1, "token": "t"}
    world.input = given
    pod.write(driver_call(input=given, entry="app:Frozen", replayRules=2), app=source(10))
    with pod.start() as process:
        eventually("the route has called a task", lambda: list(world.tasks) or None, 30)
        process.kill()
    assert "begunWith" not in world.reports.get(DRIVER, {})


def test_a_run_of_the_first_rules_goes_on_as_it_began(pod: PodProcess, world: RunWorld) -> None:
    assert called_with(pod, world, 10, replayRules=1).startswith("Ada 10 ")
    assert "begunWith" not in world.reports.get(DRIVER, {})
