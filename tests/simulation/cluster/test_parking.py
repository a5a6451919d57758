"""A driver whose route waits leaves, and comes back for each result: in the simulated cluster."""

from __future__ import annotations

import asyncio

from tests.support.fake_api import Object, Place
from tests.support.sim.cluster import APPS, Cluster, simulate

from application_sdk.wire import reasons
from apprun_operator.plan.limits import Limits

PATIENT: Object = {"image": "app:1", "entry": f"{APPS}:Patient", "parkAfterSeconds": 3}


def ready(cluster: Cluster, run: Place) -> tuple[str, str]:
    """Status and reason of the run's condition Ready."""
    conditions = cluster.status(run).get("conditions", [])
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == "Ready"), ("", ""))


def driver_pods(cluster: Cluster, run: str) -> list[str]:
    return [place.name for place in cluster.places("pods") if place.name.startswith(f"{run}-driver-")]


def driver(cluster: Cluster, run: str) -> Object:
    return next(task for task in cluster.of("apptasks") if task["metadata"]["name"] == f"{run}-driver")


async def until_parked(cluster: Cluster, run: Place) -> None:
    await cluster.until(lambda: ready(cluster, run) == ("True", reasons.PARKED), what="the run is parked")
    await cluster.until(lambda: not driver_pods(cluster, run.name), what="no driver is left")


def test_parked_run_holds_no_driver_and_ends_as_any_other() -> None:
    async def play() -> Object:
        cluster = Cluster(limits=Limits(runtime_image="runtime"))
        async with cluster.living():
            run = cluster.apply_run("r", PATIENT, {"seconds": 20})
            await until_parked(cluster, run)
            assert "1 call and 1 timer" in cluster.status(run)["message"]
            await cluster.until_ended(run)
            assert all(count == 1 for count in cluster.done.values())
            attempts = driver(cluster, "r")["status"]["attempts"]
            assert {(attempt["reason"], attempt["budget"]) for attempt in attempts} == {(reasons.PARKED, "None")}
            # For the timer, for the first task, for the last one.
            assert len(attempts) == 3
            return cluster.status(run)

    status = simulate(play())
    assert (status["phase"], status["output"]["names"]) == ("Succeeded", ["first", "last"])


def test_driver_stays_when_the_app_says_so() -> None:
    async def play() -> list[Object]:
        cluster = Cluster(limits=Limits(runtime_image="runtime"))
        async with cluster.living():
            run = cluster.apply_run("r", {**PATIENT, "parkAfterSeconds": 0}, {"seconds": 200})
            await cluster.until_ended(run)
            return list(driver(cluster, "r")["status"].get("attempts", []))

    assert simulate(play()) == []


def test_parked_run_that_is_suspended_wakes_when_it_is_resumed() -> None:
    async def play() -> str:
        cluster = Cluster(limits=Limits(runtime_image="runtime"))
        async with cluster.living():
            run = cluster.apply_run("r", PATIENT, {"seconds": 20})
            await until_parked(cluster, run)
            cluster.edit_spec(run, suspend=True)
            await asyncio.sleep(120)
            assert driver_pods(cluster, "r") == []
            cluster.edit_spec(run, suspend=False)
            await cluster.until_ended(run)
            return str(cluster.status(run)["phase"])

    assert simulate(play()) == "Succeeded"


def test_operator_that_comes_late_wakes_the_run() -> None:
    async def play() -> str:
        cluster = Cluster(limits=Limits(runtime_image="runtime"))
        async with cluster.living():
            run = cluster.apply_run("r", PATIENT, {"seconds": 20})
            await until_parked(cluster, run)
            await cluster.stop_operator()
            await asyncio.sleep(60)
            cluster.start_operator()
            await cluster.until_ended(run)
            return str(cluster.status(run)["phase"])

    assert simulate(play()) == "Succeeded"


def writes(cluster: Cluster) -> int:
    return sum(int(item["metadata"]["resourceVersion"]) for item in cluster.server.objects.values())


def test_runs_that_wait_cost_no_writes_and_wake_within_the_limit() -> None:
    limit, count = 5, 30

    async def play() -> tuple[int, int]:
        cluster = Cluster(limits=Limits(runtime_image="runtime", max_pods=limit))
        most = 0
        async with cluster.living():
            app = {"image": "app:1", "entry": f"{APPS}:Mixed", "parkAfterSeconds": 3}
            runs = [cluster.apply_run(f"r{n}", app, {"width": 0, "timer": 3600}) for n in range(count)]
            await cluster.until(
                lambda: all(ready(cluster, run)[1] == reasons.PARKED for run in runs) and not cluster.places("pods"),
                seconds=1800,
                what="all are parked",
            )
            before = writes(cluster)
            await asyncio.sleep(600)
            assert writes(cluster) == before

            while any(cluster.status(run)["phase"] == "Running" for run in runs):
                starting = [pod for pod in cluster.of("pods") if pod.get("status", {}).get("phase") == "Pending"]
                most = max(most, len(starting))
                await asyncio.sleep(0.2)
            return most, sum(cluster.status(run)["phase"] == "Succeeded" for run in runs)

    most, succeeded = simulate(play())
    assert succeeded == count
    assert 1 <= most <= limit


def test_ledger_that_grew_before_the_park_wakes_at_once() -> None:
    """The report of a result and that of the parking driver cross: whoever comes first, the route gets the result."""

    async def play(seconds: float) -> str:
        cluster = Cluster(limits=Limits(runtime_image="runtime"))
        async with cluster.living():
            run = cluster.apply_run("r", PATIENT, {"seconds": seconds})
            await cluster.until_ended(run)
            return str(cluster.status(run)["phase"])

    # The driver parks 3 s after its last result; the timers and tasks here end around that moment.
    for tenth in range(20, 45):
        assert simulate(play(tenth / 10)) == "Succeeded"
