"""What goes on, and what ends, while no operator is there at all."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.admission_world import operator_account
from tests.cluster.apiserver import Client
from tests.support.bed import EXISTING, Bed
from tests.support.interrupted import working_pods
from tests.support.kube import CORE, Object, eventually
from tests.support.operator_off import OperatorOff
from tests.support.recorded import GOLDEN, provide, restore
from tests.support.runs import Runs, source

pytestmark = pytest.mark.exclusive

needs_own_cluster = pytest.mark.skipif(EXISTING, reason="nodes of an existing cluster are not ours to break")


@pytest.fixture
def operator_off(bed: Bed) -> Iterator[OperatorOff]:
    found = OperatorOff(bed)
    yield found
    if not EXISTING:
        bed.cli("up")
    found.end()


def reported(runs: Runs, run: str) -> list[Object]:
    return [task for task in runs.tasks(run) if task["status"]["phase"] == "Succeeded"]


@needs_own_cluster
def test_a_result_reported_before_node_loss_counts(bed: Bed, runs: Runs, operator_off: OperatorOff) -> None:
    """Only the report is left of it: the node is gone before anybody has committed it, or even seen its pod's end."""
    runs.start("reported", "probe", {"before": 0, "width": 4, "after": 1, "seconds": 10})
    pods = eventually(
        "all four work", lambda: (len(working_pods(runs, "reported")) == 4 and runs.pods("reported")) or None
    )
    node = next(pod["spec"]["nodeName"] for pod in pods if pod["metadata"]["labels"]["apprun.dev/role"] == "task")
    operator_off.begin()
    eventually("all four have reported", lambda: len(reported(runs, "reported")) == 4 or None)
    bed.cli("kill-node", node)

    def lost() -> bool | None:
        there = [pod for pod in runs.pods("reported") if pod["spec"]["nodeName"] == node]
        return all("deletionTimestamp" in pod["metadata"] for pod in there) or None

    eventually("Kubernetes gives its pods up", lost)
    assert runs.checkpoints("reported") == []
    operator_off.end()
    status = runs.until_phase("reported", "Succeeded", "Failed", seconds=180)
    assert status["phase"] == "Succeeded", status
    assert all("attempts" not in task["status"] for task in runs.tasks("reported"))
    assert set(runs.witnesses().values()) == {1}


def test_a_namespace_with_running_runs_can_be_deleted(bed: Bed, operator_off: OperatorOff) -> None:
    """No finalizer of ours waits for an operator that isn't there."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": name}})
    runs = Runs(bed.kube, name)
    runs.upload("causes")
    runs.app("causes", "app:Causes", source=source("causes"))
    runs.start("there", "causes", {"calls": ["works", "no room"]})
    eventually("tasks are there", lambda: len(runs.tasks("there")) == 2 or None)
    eventually("one works", lambda: working_pods(runs, "there") or None)
    operator_off.begin()
    bed.kube.delete(f"{CORE}/namespaces/{name}")
    eventually("the namespace is gone", lambda: bed.kube.find(f"{CORE}/namespaces/{name}") is None or None, 120)


@pytest.mark.parametrize("recording", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_run_of_another_version_continues(bed: Bed, runs: Runs, operator_off: OperatorOff, recording: Path) -> None:
    """Some of it is committed, some reported, some is still to be done; each part is taken as it stands."""
    admin = Client.from_kubeconfig(bed.kubeconfig)
    account = ":".join(("system:serviceaccount", *operator_account(admin)))
    provide(runs)
    operator_off.begin()
    begun, *tasks = restore(runs, admin.impersonating(account, "system:masters"), recording)
    run, ledger = begun["metadata"]["name"], begun["status"]["checkpoints"]
    finished = {task["spec"]["key"] for task in tasks if task["status"]["phase"] == "Succeeded"}
    assert len(ledger) < len(finished), "nothing that was reported awaits its commit"
    operator_off.end()
    status = runs.until_phase(run, "Succeeded", "Failed", "Stalled", seconds=180)
    assert status["phase"] == "Succeeded", status["message"]
    assert status["checkpoints"][: len(ledger)] == ledger
    entries = Counter(entry["key"] for entry in status["checkpoints"])
    assert set(entries.values()) == {1}
    assert runs.witnesses() == Counter(set(entries) - finished), "something was done again"
