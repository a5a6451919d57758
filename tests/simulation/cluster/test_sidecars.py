"""A mesh adds a proxy to each pod: no attempt is ended, kept open or charged for what the proxy does."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.fake_api import Object
from tests.support.sim.cluster import Cluster, simulate
from tests.support.sim.greenlets import Process

SIDECARS: dict[str, Object] = {
    "goes on": {"running": {}},
    "has no image": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
    "exited well": {"terminated": {"exitCode": 0, "reason": "Completed"}},
    "exited badly": {"terminated": {"exitCode": 143, "reason": "Error"}},
}


@pytest.mark.parametrize("how", SIDECARS)
def test_run_ends_as_without_the_mesh(how: str) -> None:
    async def story() -> None:
        cluster = Cluster()
        cluster.nodes.sidecar = SIDECARS[how]
        async with cluster.living():
            run = cluster.apply_run("r", "Failing")
            await cluster.until_ended(run)
            assert cluster.status(run)["phase"] == "Succeeded"
            assert cluster.status(run)["output"] == {"names": ["late", "TaskFailedError"]}
            await cluster.until_quiet()

    simulate(story())


@pytest.mark.slow
@pytest.mark.parametrize("how", SIDECARS)
@pytest.mark.parametrize("party", ["driver", "task"])
def test_a_death_beside_a_sidecar_leads_to_the_next_attempt(party: str, how: str) -> None:
    died: list[Process] = []

    async def die(who: str, moment: str, request: str, process: Process | None) -> None:
        if process is not None and who.startswith(party) and not died and moment == "before":
            died.append(process)
            process.exit(7)
            await asyncio.sleep(1)  # so that the request isn't sent

    async def story() -> None:
        cluster = Cluster(hook=die)
        cluster.nodes.sidecar = SIDECARS[how]
        async with cluster.living():
            run = cluster.apply_run("r", "Chain", {"width": 2})
            await cluster.until_ended(run)
            assert cluster.status(run)["phase"] == "Succeeded"
            (ended,) = [entry for task in cluster.of("apptasks") for entry in task["status"].get("attempts", [])]
            assert (ended["reason"], ended["budget"], ended["exitCode"]) == ("ProcessDied", "App", 7)
            assert len(died) == 1
            await cluster.until_quiet()

    simulate(story())
