"""An operator with fewer rights than the chart gives it: what it can't do stands in the conditions of the run."""

from __future__ import annotations

from tests.support.sim.cluster import Cluster, simulate
from tests.support.sim.greenlets import Process

from apprun_operator.kube.errors import ForbiddenError

WORDS = 'User "operator" cannot get resource "customresourcedefinitions"'


def test_a_run_waits_for_accounts_that_cannot_be_made() -> None:
    allowed = False

    async def reach(party: str, moment: str, request: str, process: Process | None) -> None:
        if moment == "before" and "customresourcedefinitions" in request and not allowed:
            raise ForbiddenError(WORDS, status=403, reason="Forbidden")

    async def story() -> None:
        nonlocal allowed
        cluster = Cluster(hook=reach)
        async with cluster.living():
            run = cluster.apply_run("r", "Chain", {"width": 1})

            def ready() -> dict[str, str]:
                conditions = cluster.status(run).get("conditions") or []
                return next((c for c in conditions if c["type"] == "Ready"), {})

            await cluster.until(lambda: ready().get("reason") == "OperatorNotAllowed", 120, "the run says why it waits")
            assert WORDS in ready()["message"]
            assert not cluster.of("pods")
            allowed = True
            await cluster.until_ended(run)
            assert cluster.status(run)["phase"] == "Succeeded"

    simulate(story())
