"""Real faults in the middle of real runs. Whatever dies, the run goes on and a committed task never runs again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.bed import EXISTING, SYSTEM_NAMESPACE, Bed
from tests.support.interrupted import assert_completed, driver_pod, started, working_pods
from tests.support.kube import CORE, Object, eventually
from tests.support.runs import Runs

pytestmark = pytest.mark.exclusive

needs_own_cluster = pytest.mark.skipif(
    EXISTING, reason="nodes and control plane of an existing cluster are not ours to break"
)


@pytest.fixture(autouse=True)
def healed(bed: Bed) -> Iterator[None]:
    """Whatever a test broke is whole again for the next one."""
    yield
    if not EXISTING:
        bed.cli("up")
        eventually("both nodes are ready", lambda: len(ready_nodes(bed)) == 2 or None, 90)


def ready_nodes(bed: Bed) -> list[str]:
    def is_ready(node: Object) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))

    return [node["metadata"]["name"] for node in bed.kube.items(f"{CORE}/nodes") if is_ready(node)]


def test_deleted_driver_goes_on_from_the_last_checkpoint(runs: Runs) -> None:
    committed = started(runs, "driverless")
    first = driver_pod(runs, "driverless")["metadata"]["name"]
    runs.kube.delete(f"{runs.core}/pods/{first}", gracePeriodSeconds=0)
    assert_completed(runs, "driverless", committed)
    (driver,) = runs.tasks("driverless", "driver")
    assert driver["status"]["attempt"] == 2
    assert [a["budget"] for a in driver["status"]["attempts"]] == ["Disruption"]


def test_deleted_operator_goes_on_where_it_was(bed: Bed, runs: Runs) -> None:
    committed = started(runs, "operatorless")
    bed.terminations.all_removed("all pods of the operator are deleted")
    for pod in bed.kube.items(f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods"):
        bed.kube.delete(f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{pod['metadata']['name']}", gracePeriodSeconds=0)
    assert_completed(runs, "operatorless", committed)


@needs_own_cluster
def test_killed_api_server_interrupts_nothing_for_good(bed: Bed, runs: Runs) -> None:
    committed = started(runs, "apiless")
    bed.cli("kill-apiserver")
    assert_completed(runs, "apiless", committed)


@needs_own_cluster
def test_killed_etcd_interrupts_nothing_for_good(bed: Bed, runs: Runs) -> None:
    committed = started(runs, "etcdless")
    bed.cli("kill-etcd")
    assert_completed(runs, "etcdless", committed)


@needs_own_cluster
def test_a_killed_node_costs_only_uncommitted_work(bed: Bed, runs: Runs) -> None:
    committed = started(runs, "nodeless", seconds=15)
    node = driver_pod(runs, "nodeless")["spec"]["nodeName"]
    lost = frozenset(
        pod["metadata"]["labels"]["apprun.dev/key"]
        for pod in working_pods(runs, "nodeless")
        if pod["spec"]["nodeName"] == node
    )
    assert lost, "the scheduler put no task on the driver's node"
    bed.cli("kill-node", node)
    assert_completed(runs, "nodeless", committed, lost=lost)
    ledger = {entry["key"]: entry for entry in runs.checkpoints("nodeless")}
    for key in lost:
        assert ledger[key]["attempts"] == 2
        assert ledger[key]["node"] != node
    for task in runs.tasks("nodeless"):
        assert all(attempt["budget"] == "Disruption" for attempt in task["status"].get("attempts", []))


@needs_own_cluster
def test_zombies_behind_a_cut_network_are_refused(bed: Bed, runs: Runs) -> None:
    committed = started(runs, "cut", seconds=15)
    driver_node = driver_pod(runs, "cut")["spec"]["nodeName"]
    pods = working_pods(runs, "cut")
    node = next(pod["spec"]["nodeName"] for pod in pods if pod["spec"]["nodeName"] != driver_node)
    zombies = frozenset(p["metadata"]["labels"]["apprun.dev/key"] for p in pods if p["spec"]["nodeName"] == node)
    refused_before = fence_refusals(bed)
    bed.cli("cut-node", node)
    runs.until_phase("cut", "Succeeded", "Failed", seconds=240)
    bed.cli("heal-node", node)
    eventually("a zombie's write was refused", lambda: fence_refusals(bed) > refused_before or None, 60)
    assert_completed(runs, "cut", committed, lost=zombies)
    ledger = [entry["key"] for entry in runs.checkpoints("cut")]
    assert len(ledger) == len(set(ledger))
    for task in runs.tasks("cut"):
        if task["spec"]["key"] in zombies:
            assert task["status"]["attempt"] == 2
            assert task["status"]["output"]["attempt"] == 2, "the zombie's result was recorded"


def fence_refusals(bed: Bed) -> float:
    """Denials by the fence, as the API server counts them itself."""
    metric = "apiserver_validating_admission_policy_check_total{"
    lines = [line for line in bed.kube.raw("/metrics").splitlines() if line.startswith(metric)]
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if 'enforcement_action="deny"' in line and "apprun" in line
    )
