"""From the first `helm install` to the last trace: runs survive all that lies between, and nothing is left behind.

The session's own release is out of the way meanwhile, and put back afterwards.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from tests.support import audit
from tests.support.bed import EXISTING, SYSTEM_NAMESPACE, Bed
from tests.support.interrupted import assert_completed, started
from tests.support.kube import CORE, Kube, eventually
from tests.support.runs import Runs

from apprun_operator.api.crds import KINDS

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.skipif(EXISTING, reason="an existing cluster's installation isn't ours to remove"),
]

CRDS = tuple(f"{kind.plural}.apprun.dev" for kind in KINDS)
COME_AND_GO = ("Event", "Lease", "Secret", "EndpointSlice", "Endpoints", "ControllerRevision")
"""What a cluster writes by itself; Leases of our own are looked for apart."""
RBAC = "/apis/rbac.authorization.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/leases"


@pytest.fixture
def bare(bed: Bed) -> Iterator[Bed]:
    """The cluster without any AppRun; whatever a test installs is gone afterwards."""
    nothing_is_held_back(bed.kube)
    with bed.terminations.removals("releases come and go"):
        try:
            remove_all(bed)
            yield bed
            remove_all(bed)
        finally:
            bed.install()


def nothing_is_held_back(kube: Kube) -> None:
    """What holds back a namespace would hold back the CRDs: with them everything after it would fail."""

    def going() -> dict[str, object]:
        found = [item for item in kube.items(f"{CORE}/namespaces") if "deletionTimestamp" in item["metadata"]]
        return {item["metadata"]["name"]: item["status"].get("conditions") for item in found}

    try:
        eventually("namespaces that are going are gone", lambda: not going() or None, 120)
    except AssertionError as error:
        raise AssertionError(f"{error}: {json.dumps(going(), indent=1)}") from error


def remove_all(bed: Bed) -> None:
    listed = bed.run(bed.helm, "list", "--all-namespaces", "--all", "--output", "json").stdout
    for found in json.loads(listed):
        bed.run(bed.helm, "uninstall", found["name"], "--namespace", found["namespace"], "--wait")
    bed.run(bed.kubectl, "delete", "crd", "--ignore-not-found", *CRDS)


def everything(bed: Bed) -> set[str]:
    """Every object of the cluster but those that come and go by themselves, as kind, namespace and name."""
    names = bed.run(bed.kubectl, "api-resources", "--verbs=list", "--output=name").stdout.split()
    kinds = ",".join(sorted(name for name in names if not name.startswith("events")))
    columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name"
    listed = bed.run(bed.kubectl, "get", kinds, "--all-namespaces", "--no-headers", "--output", columns).stdout
    found = {" ".join(line.split()) for line in listed.splitlines()}
    leases = {f"Lease {item['metadata']['name']}" for item in bed.kube.items(LEASES)}
    return {item for item in found if item.split()[0] not in COME_AND_GO} | {n for n in leases if "apprun" in n}


def namespaces(kube: Kube, *names: str) -> None:
    for name in names:
        kube.create(f"{CORE}/namespaces", {"metadata": {"name": name}})


@pytest.fixture
def two_namespaces(kube: Kube) -> Iterator[tuple[str, str]]:
    suffix = uuid.uuid4().hex[:6]
    first, second = f"team-a-{suffix}", f"team-b-{suffix}"
    namespaces(kube, first, second)
    yield first, second
    for name in (first, second):
        kube.delete(f"{CORE}/namespaces/{name}")


def release(bed: Bed, *words: str) -> str:
    return bed.run(bed.helm, *words, "--namespace", SYSTEM_NAMESPACE, "--wait").stdout


def uninstall(bed: Bed) -> None:
    release(bed, "uninstall", "apprun")


def test_runs_survive_upgrade_rollback_and_reinstallation(bare: Bed, kube: Kube) -> None:
    if kube.find(f"{CORE}/namespaces/{SYSTEM_NAMESPACE}") is None:
        namespaces(kube, SYSTEM_NAMESPACE)
    before = everything(bare)
    name = f"life-{uuid.uuid4().hex[:6]}"
    bare.install()
    runs = prepared(kube, name)
    committed = started(runs, "life", before=4, width=6, after=4, seconds=4)
    bare.install("podAnnotations.upgrade=once", "metrics.podMonitor.enabled=true")
    runs.until_committed("life", 5)
    release(bare, "rollback", "apprun", "1")
    runs.until_committed("life", 6)
    uninstall(bare)
    assert "apprun-driver" in {a["metadata"]["name"] for a in kube.items(f"{runs.core}/serviceaccounts")}
    bare.install()
    assert_completed(runs, "life", committed)
    attempts = [one for task in runs.tasks("life") for one in task["status"].get("attempts", [])]
    assert attempts == [], "tasks at work were disturbed"
    # `helm test` works, and leaves nothing either.
    release_test(bare, "apprun", SYSTEM_NAMESPACE)
    uninstall(bare)
    assert runs.status("life")["phase"] == "Succeeded", "uninstalling took the runs along"
    bare.run(bare.kubectl, "delete", "crd", *CRDS)
    eventually(
        "accounts and bindings are collected",
        lambda: not ours(everything(bare) - before) or None,
        60,
    )
    kube.delete(f"{CORE}/namespaces/{name}")
    eventually(
        "nothing is left",
        lambda: sorted(item for item in everything(bare) - before if name not in item) == [] or None,
        60,
    )


def prepared(kube: Kube, name: str) -> Runs:
    """A namespace with the probe app, made after the CRDs are there."""
    namespaces(kube, name)
    runs = Runs(kube, name)
    kube.create(f"{runs.core}/serviceaccounts", {"metadata": {"name": "probe"}})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}
    rbac = f"{RBAC}/namespaces/{name}"
    kube.create(f"{rbac}/roles", {"metadata": {"name": "probe"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "probe", "namespace": name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "probe"}
    kube.create(f"{rbac}/rolebindings", {"metadata": {"name": "probe"}, "roleRef": role, "subjects": [subject]})
    runs.upload("probe")
    runs.app("probe", "app:Probe", serviceAccountName="probe")
    return runs


def ours(found: set[str]) -> list[str]:
    """What AppRun made, apart from the test's own."""
    return sorted(item for item in found if "apprun" in item and item.split()[0] not in ("Namespace", "ConfigMap"))


def release_test(bed: Bed, name: str, namespace: str) -> None:
    done = bed.run(bed.helm, "test", name, "--namespace", namespace, "--timeout", "3m").stdout
    assert "Phase:          Failed" not in done


def test_two_installations_serve_a_namespace_each_and_no_other(
    two_namespaces: tuple[str, str], bare: Bed, kube: Kube
) -> None:
    # The namespaces are asked for first, so they outlive the releases in them: Helm can't uninstall a release whose
    # record is deleted along with its namespace.
    mine, yours = two_namespaces
    bare.helm_release("one", mine, f"namespaces={{{mine}}}")
    refused = bare.helm_release("two", yours, f"namespaces={{{yours}}}", check=False)
    assert "belong to release one" in refused.stderr
    bare.helm_release("two", yours, f"namespaces={{{yours}}}", "crds.enabled=false")
    release_test(bare, "one", mine)
    release_test(bare, "two", yours)
    for account, namespace in (("one-apprun", mine), ("two-apprun", yours)):
        found = audit.asked(bare.name, f"{namespace}:{account}")
        assert found, "nothing was asked for"
        assert [right for right, allowed in found.items() if not allowed] == []
    wide = [
        b["metadata"]["name"] for b in kube.items(f"{RBAC}/clusterrolebindings") if "apprun" in b["metadata"]["name"]
    ]
    assert [name for name in wide if not name.endswith("-token-review")] == []
    # Nobody serves a third one, and a namespace has one operator at most.
    elsewhere = Runs(kube, "default")
    elsewhere.start("unserved", "nobody")
    overlap = bare.helm_release("three", "default", f"namespaces={{default,{mine}}}", "crds.enabled=false", check=False)
    assert f"installed in this cluster already: release one in namespace {mine}, which serves {mine}" in overlap.stderr
    whole = bare.helm_release("apprun", SYSTEM_NAMESPACE, "crds.enabled=false", check=False)
    assert "Two operators can't serve the same namespaces" in whole.stderr
    change = bare.helm_release("two", yours, "crds.enabled=false", check=False)
    assert "can't change between all namespaces and a list" in change.stderr
    assert elsewhere.status("unserved") == {"observedGeneration": -1}
    elsewhere.kube.delete(f"{elsewhere.api}/appruns/unserved")


def test_installation_that_can_not_work_says_what_is_missing(bare: Bed) -> None:
    refused = bare.helm_release("apprun", SYSTEM_NAMESPACE, "crds.enabled=false", check=False)
    assert "apprun.dev isn't in this cluster, and crds.enabled is false" in refused.stderr
    assert "--set crds.enabled=true" in refused.stderr
    refused = bare.helm_release("apprun", SYSTEM_NAMESPACE, "namespaces={nowhere}", check=False)
    assert "kubectl create namespace nowhere" in refused.stderr
