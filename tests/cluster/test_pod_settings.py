"""Settings of the chart that shape pods: spot nodes, and clusters that choose the users of pods themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.bed import EXISTING, Bed
from tests.support.injection import injecting
from tests.support.kube import CORE, Object, eventually
from tests.support.runs import Runs

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.skipif(EXISTING, reason="nodes and installation of an existing cluster are not ours to change"),
]

TAINT = {"key": "example.com/spot", "value": "true", "effect": "NoSchedule"}
SPOT = (
    "spot.nodeSelector.example\\.com/spot=yes",
    "spot.tolerations[0].key=example.com/spot",
    "spot.tolerations[0].operator=Exists",
)
RANGE = range(1000650000, 1000660000)
"""Of users, as OpenShift assigns one to each namespace."""


@pytest.fixture
def shaped(runs: Runs) -> Runs:
    runs.upload("shaped")
    runs.app("shaped", "app:Shaped")
    return runs


@pytest.fixture
def spot(bed: Bed) -> Iterator[None]:
    """node2 is one that the cloud may take back, and the chart says how such nodes are known."""
    node = f"{CORE}/nodes/node2"
    bed.kube.merge(node, {"metadata": {"labels": {"example.com/spot": "yes"}}, "spec": {"taints": [TAINT]}})
    bed.install(*SPOT)
    yield
    bed.kube.merge(node, {"metadata": {"labels": {"example.com/spot": None}}, "spec": {"taints": None}})
    bed.install()


def task_pod(runs: Runs, run: str, attempt: int) -> Object:
    """The pod of an attempt of the run's only call, on its node."""

    def placed() -> Object | None:
        labels = f"apprun.dev/run={run},apprun.dev/role=task,apprun.dev/attempt={attempt}"
        pods = runs.kube.items(f"{runs.core}/pods?labelSelector={labels}")
        return next((pod for pod in pods if pod["spec"].get("nodeName")), None)

    return eventually(f"attempt {attempt} has a node", placed)


@pytest.mark.usefixtures("spot")
def test_spot_is_left_after_two_disruptions(shaped: Runs) -> None:
    shaped.start("spot", "shaped", {"task": "spot"})
    nodes = []
    for attempt in (1, 2, 3):
        pod = task_pod(shaped, "spot", attempt)
        nodes.append(pod["spec"]["nodeName"])
        if attempt < 3:
            shaped.kube.delete(f"{shaped.core}/pods/{pod['metadata']['name']}", gracePeriodSeconds=0)
    status = shaped.until_phase("spot", "Succeeded", "Failed", "Stalled")
    assert nodes == ["node2", "node2", "node1"], status
    (task,) = shaped.tasks("spot")
    assert [attempt["budget"] for attempt in task["status"]["attempts"]] == ["Disruption"] * 2


@pytest.fixture
def assigned(bed: Bed, shaped: Runs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Object]]:
    """In place of OpenShift: a webhook that fills in the namespace's user, and keeps what each pod had said."""
    seen: list[Object] = []

    def assign(spec: Object, call: Object) -> None:
        security = spec.setdefault("securityContext", {})
        seen.append(dict(security))
        security |= {"runAsUser": RANGE[0], "fsGroup": RANGE[0]}

    bed.install("podSecurity.runAsUser=null")
    with injecting(bed, shaped.namespace, assign, tmp_path_factory.mktemp("users")):
        yield seen
    bed.install()


def test_cluster_chooses_the_user(shaped: Runs, assigned: list[Object]) -> None:
    shaped.start("free", "shaped", {"task": "spot"})
    status = shaped.until_phase("free", "Succeeded", "Failed", "Stalled")
    assert status["phase"] == "Succeeded", status
    # Nothing said a user or a group of its own, or the range would have refused it.
    fields = {field for security in assigned for field in security}
    assert fields.isdisjoint({"runAsUser", "runAsGroup", "fsGroup"}), assigned
    assert all(security["runAsNonRoot"] for security in assigned)
