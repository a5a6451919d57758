"""The operator is killed before and after each of its writes, against a real API server: the same end every time.

As tests/simulation/cluster/test_crash_everywhere.py does, but smaller, and with real pods. One run for each crash, in a
namespace of its own, several side by side.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.cluster.admission_world import operator_account, token
from tests.cluster.apiserver import Client as Plain
from tests.cluster.lives import Wire, live
from tests.support.bed import RUNTIME_IMAGE, Bed
from tests.support.kube import CORE, Kube, Object
from tests.support.operator_off import OperatorOff
from tests.support.runs import Runs, source

from apprun_operator.kube.client import Client
from apprun_operator.kube.credentials import Cluster
from apprun_operator.kube.resources import PODS
from apprun_operator.plan.limits import Limits
from apprun_operator.settings import Settings

pytestmark = [pytest.mark.exclusive, pytest.mark.cluster]

SIDE_BY_SIDE = 6
STRUCK = 0.8
"""So many of the crashes have to happen. The operator writes at once what has come together, so it may be one less."""
MANAGED = {"labelSelector": "app.kubernetes.io/managed-by=apprun"}
APP = """
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class Number(Input, Output):
    n: int = 0

class Two(App):
    @task
    async def double(self, input: Number) -> Number:
        return Number(n=input.n * 2)

    async def run(self, input: Number) -> Number:
        return await self.double(await self.double(input))
"""


@pytest.fixture
def absent(bed: Bed) -> Iterator[None]:
    """The cluster's own operator is away."""
    operator_off = OperatorOff(bed)
    operator_off.begin()
    yield
    operator_off.end()


class Bench:
    """Plays one run in a namespace of its own, with one crash."""

    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self.kube = kube
        self.cluster = cluster
        self.begun: Counter[str] = Counter()
        """How often a pod of that namespace and name was made."""
        self.places = asyncio.Semaphore(SIDE_BY_SIDE)

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        """While every pod that is made is counted."""
        client = Client(self.cluster)
        version = str((await client.get(PODS.path(), {**MANAGED, "limit": "1"}))["metadata"]["resourceVersion"])  # type: ignore[index, call-overload]

        async def count() -> None:
            async for events in client.watch(PODS.path(), {**MANAGED, "resourceVersion": version}):
                for event in events:
                    item: Any = event["object"]
                    if event["type"] == "ADDED":
                        self.begun[f"{item['metadata']['namespace']}/{item['metadata']['name']}"] += 1

        task = asyncio.create_task(count())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()

    async def play(self, number: int, moment: str) -> tuple[Object, Wire]:
        """What is left of the run in the end, and the wire of the life that ended."""
        async with self.places:
            runs = Runs(self.kube, f"crash-{uuid.uuid4().hex[:8]}")
            await asyncio.to_thread(self._begin, runs)
            client = Client(self.cluster)
            try:
                wire = Wire(client, number, moment)
                await self._lives(runs, wire, client)
                return await asyncio.to_thread(self._left, runs), wire
            finally:
                await client.close()
                await asyncio.to_thread(self.kube.delete, f"{CORE}/namespaces/{runs.namespace}")

    async def _lives(self, runs: Runs, wire: Wire, client: Client) -> None:
        settings = Settings(limits=Limits(runtime_image=RUNTIME_IMAGE), namespaces=(runs.namespace,))
        life = asyncio.create_task(live(settings, wire))
        ended = asyncio.create_task(asyncio.to_thread(self._until_ended, runs))
        cut = asyncio.create_task(wire.cut.wait())
        try:
            await asyncio.wait({life, ended, cut}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
                assert wire.cut.is_set(), "the operator ended by itself"
                life = asyncio.create_task(live(settings, client))
            await ended
        finally:
            for task in (life, cut):
                task.cancel()
            await asyncio.gather(life, cut, return_exceptions=True)

    def _begin(self, runs: Runs) -> None:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.kube.create(f"{CORE}/namespaces", {"metadata": {"name": runs.namespace, "labels": restricted}})
        runs.upload("two", APP)
        app = {"entry": "app:Two", "source": source("two")}
        run = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppRun", "metadata": {"name": "r"}}
        self.kube.create(f"{runs.api}/appruns", {**run, "spec": {"app": app, "input": {"n": 3}}})

    def _until_ended(self, runs: Runs) -> None:
        runs.until_phase("r", "Succeeded", "Failed", "Cancelled", "Stalled", seconds=300)
        runs.until_no_pods("r", seconds=120)

    def _left(self, runs: Runs) -> Object:
        status = runs.status("r")
        return {
            "phase": status["phase"],
            "output": status.get("output"),
            "ledger": [(e["task"], e["outcome"], e["attempts"]) for e in runs.checkpoints("r")],
            "tasks": sorted((t["spec"]["task"], t["status"]["phase"], t["status"].get("attempt", 1))
                            for t in self.kube.items(f"{runs.api}/apptasks")),
            "conditions": sorted((c["type"], c["status"]) for c in status["conditions"]),
            "pods": sorted(n for name, n in self.begun.items() if name.startswith(f"{runs.namespace}/")),
        }  # fmt: skip


def test_an_operator_killed_around_any_write_changes_nothing(bed: Bed, absent: None) -> None:
    anonymous = Plain.without_credentials(bed.kubeconfig)
    admin = Plain.from_kubeconfig(bed.kubeconfig)
    ours = token(admin, *operator_account(admin))
    cluster = Cluster(anonymous.server, anonymous.context, lambda: {"Authorization": f"Bearer {ours}"})

    async def story() -> None:
        bench = Bench(bed.kube, cluster)
        async with bench.counting():
            expected, undisturbed = await bench.play(0, "")
            assert (expected["phase"], expected["output"]) == ("Succeeded", {"n": 12})
            assert expected["pods"] == [1, 1, 1]
            crashes = [(n, moment) for n in range(1, len(undisturbed.writes) + 1) for moment in ("before", "after")]
            played = await asyncio.gather(*(bench.play(*crash) for crash in crashes))
        for crash, (left, wire) in zip(crashes, played, strict=True):
            assert left == expected, f"killed {crash[1]} write {crash[0]}: {wire.writes}"
        struck = sum(wire.cut.is_set() for _, wire in played)
        print(f"{struck} of {len(crashes)} crashes, around {undisturbed.writes}")
        assert struck >= STRUCK * len(crashes)

    asyncio.run(story())
