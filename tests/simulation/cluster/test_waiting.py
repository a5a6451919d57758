"""What calls wait for stands on their run within ten seconds, in one write, and goes when the wait ends."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.sim.cluster import Cluster, simulate
from tests.support.virtual_time import wall

WIDTH = 12


def test_an_unschedulable_fan_out_is_one_write_on_its_run() -> None:
    async def story() -> None:
        cluster = Cluster()
        async with cluster.living():
            run = cluster.apply_run("r", "Wide", {"width": WIDTH})
            await cluster.until(lambda: len(cluster.of("apptasks")) > WIDTH)
            cluster.nodes.unschedulable = True
            began = wall()

            def ready() -> dict[str, Any]:
                conditions = cluster.status(run).get("conditions") or []
                return next((c for c in conditions if c["type"] == "Ready"), {})

            await cluster.until(lambda: ready().get("reason") == "Unschedulable", 30, "the run says why it waits")
            assert wall() - began <= 10
            status = cluster.status(run)
            waiting = status["tasks"]["waiting"]
            assert status["message"].startswith(f"{waiting} of ")
            assert waiting == sum(1 for task in cluster.of("apptasks") if task["status"].get("phase") == "Waiting")
            version = cluster.server.objects[run]["metadata"]["resourceVersion"]
            await asyncio.sleep(60)
            assert cluster.server.objects[run]["metadata"]["resourceVersion"] == version
            cluster.nodes.unschedulable = False
            await cluster.until_ended(run)
            assert cluster.status(run)["tasks"]["waiting"] == 0

    simulate(story())
