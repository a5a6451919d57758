"""Pods that a queue such as Kueue's holds back, admits, and takes back again."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.fake_api import Place
from tests.support.sim.cluster import APPS, Cluster, simulate
from tests.support.sim.nodes import QUEUE_GATE

from application_sdk.wire import pod_rules

WIDTH = 70
"""More than may wait for a node."""
APP = {"image": "app:1", "entry": f"{APPS}:Wide", "pod": {"queue": "team-a"}}
WORDS = "Preempted to accommodate a workload of team-b"


def queued(cluster: Cluster) -> list[Place]:
    return [
        place
        for place, item in list(cluster.server.objects.items())
        if place.plural == "pods" and item["spec"].get("schedulingGates")
    ]


def test_queued_pods_keep_no_other_back_and_say_what_they_wait_for() -> None:
    async def story() -> None:
        cluster = Cluster()
        cluster.nodes.queue = True
        async with cluster.living():
            run = cluster.apply_run("r", APP, {"width": WIDTH}, parallelism=WIDTH)
            await cluster.until(lambda: len(queued(cluster)) == WIDTH, 60, "all pods are in the queue")
            await cluster.until(lambda: "SchedulingGated" in str(cluster.status(run).get("message")), 30, "it says so")
            message = cluster.status(run)["message"]
            assert "queued in the queue 'team-a'" in message
            assert QUEUE_GATE in message
            for place in queued(cluster):
                cluster.nodes.admit(place)
            await cluster.until_ended(run)
            assert cluster.status(run)["phase"] == "Succeeded"

    simulate(story())


def test_pod_that_the_queue_takes_back_costs_no_retry() -> None:
    async def story() -> None:
        cluster = Cluster()
        cluster.nodes.queue = True
        async with cluster.living():
            run = cluster.apply_run("r", APP, {"width": 1, "seconds": 30})
            await cluster.until(lambda: len(queued(cluster)) == 1)
            (first,) = queued(cluster)
            cluster.nodes.admit(first)
            await cluster.until(lambda: cluster.nodes.container(first) is not None)
            await asyncio.sleep(5)
            cluster.nodes.take_back(first, WORDS)
            await cluster.until(lambda: len(queued(cluster)) == 1, 60, "the call is in the queue again")
            (second,) = queued(cluster)
            assert second != first
            cluster.nodes.admit(second)
            await cluster.until_ended(run)
            assert cluster.status(run)["phase"] == "Succeeded"
            (history,) = [attempts(task) for task in cluster.of("apptasks") if task["spec"].get("role") == "task"]
            assert (history[0]["reason"], history[0]["budget"]) == ("EvictedByQueue", "Disruption")
            assert WORDS in history[0]["message"]

    simulate(story())


def attempts(task: dict[str, Any]) -> list[dict[str, Any]]:
    return list(task["status"]["attempts"])


def test_drivers_are_not_queued() -> None:
    async def story() -> None:
        cluster = Cluster()
        cluster.nodes.queue = True
        async with cluster.living():
            cluster.apply_run("r", APP, {"width": 2})
            await cluster.until(lambda: len(queued(cluster)) == 2)
            pods = {place.name: item for place, item in cluster.server.objects.items() if place.plural == "pods"}
            labels = {name: pod_rules.QUEUE_LABEL in item["metadata"]["labels"] for name, item in pods.items()}
            assert [name for name, is_queued in labels.items() if not is_queued and "driver" in name]
            assert sum(labels.values()) == 2

    simulate(story())
