"""Bugs that the simulation has found, each with the course of events that shows it."""

from __future__ import annotations

import asyncio

from tests.support.fake_api import Place
from tests.support.sim.access import PERSON
from tests.support.sim.cluster import NAMESPACE, Cluster, simulate
from tests.support.sim.greenlets import Process


def test_a_repeated_call_ignores_traces_of_its_old_pod() -> None:
    """An open AppTask is deleted with its pod in the foreground, so its pod goes first; the driver makes it again."""

    async def late(party: str, moment: str, request: str, process: Process | None) -> None:
        if moment == "event" and request.endswith("apptasks"):
            await asyncio.sleep(0.5)

    async def story() -> None:
        cluster = Cluster(hook=late)
        async with cluster.living():
            run = cluster.apply_run("r", "Chain", {"width": 2})
            await cluster.until(lambda: len(cluster.of("apptasks")) == 2)
            (task,) = (p for p in cluster.places("apptasks") if "driver" not in p.name)
            cluster.nodes.unschedulable = True
            await cluster.until(lambda: any(p.name.startswith(f"{task.name}-1-") for p in cluster.places("pods")))
            cluster.server.delete(PERSON, Place("apptasks", NAMESPACE, task.name), propagation="Foreground")
            await asyncio.sleep(1)
            assert task not in cluster.server.objects
            cluster.nodes.unschedulable = False
            await cluster.until_ended(run, seconds=1200)
            assert cluster.status(run)["phase"] == "Succeeded"

    simulate(story())


def test_a_new_leader_with_late_watches_repeats_nothing() -> None:
    """All that it has heard of the call is that it was made: no pod, no report, no commit."""

    async def story() -> None:
        cluster = Cluster(elected=True)
        async with cluster.living():
            leader = cluster.replicas[0]
            await cluster.until(lambda: leader.gate.is_leading)
            standby = cluster.start_operator()
            await cluster.until(lambda: all(informer.synced.is_set() for informer in standby.informers))
            standby.deaf = {"pods"}
            run = cluster.apply_run("r", "Chain", {"width": 3})
            await cluster.until(lambda: standby.cache.sizes()["apptasks"] == 2)
            standby.deaf = {"pods", "apptasks", "appruns"}
            await cluster.until(lambda: len(cluster.entries(run)) == 2)
            await cluster.stop_operator(leader)
            await cluster.until(lambda: standby.gate.is_leading)
            await asyncio.sleep(5)
            standby.deaf = set()
            await cluster.until_ended(run)
            assert set(cluster.done.values()) == {1}

    simulate(story())
