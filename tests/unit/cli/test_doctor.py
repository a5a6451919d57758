"""`apprun doctor`: each thing that can be wrong with an installation is named with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.cluster_wire import NAMESPACED, FakeCluster, Object
from tests.support.wire_server import refuse
from tests.unit.cli.conftest import Command

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
OURS = {"app.kubernetes.io/part-of": "apprun"}


def operator(cluster: FakeCluster, namespace: str = "apprun-system", ready: int = 2, **env: str) -> Object:
    labels = {**OURS, "app.kubernetes.io/component": "operator", "app.kubernetes.io/version": "0.1.0"}
    variables = [{"name": name, "value": value} for name, value in env.items()]
    pod = {"containers": [{"env": variables}]}
    return cluster.put(
        f"/apis/apps/v1/namespaces/{namespace}/deployments/apprun",
        {
            "metadata": {"name": "apprun", "namespace": namespace, "labels": labels},
            "spec": {"replicas": 2, "template": {"spec": pod}},
            "status": {"readyReplicas": ready},
        },
    )


@pytest.fixture
def installed(cluster: FakeCluster) -> FakeCluster:
    """A cluster on which nothing is wrong."""
    operator(cluster)
    cluster.put(f"{POLICIES}/apprun-calls", {"metadata": {"labels": OURS}, "spec": {}})
    cluster.put(
        f"{BINDINGS}/apprun-calls",
        {"metadata": {"labels": OURS}, "spec": {"policyName": "apprun-calls", "validationActions": ["Deny"]}},
    )
    words = "ValidatingAdmissionPolicy 'apprun-calls' denied request: apprun: not the driver of this run"
    cluster.refusals["POST", f"{NAMESPACED}/apptasks"] = refuse(403, "Forbidden", words)
    return cluster


def looked(apprun: Command) -> tuple[int, dict[tuple[str, str], Any]]:
    done = apprun("doctor", "--no-pod", "-o", "json")
    return done.code, {(check["topic"], check["grade"]): check for check in done.json["checks"]}


def test_a_sound_installation_is_found_sound(apprun: Command, installed: FakeCluster) -> None:
    code, found = looked(apprun)
    assert (code, {grade for _, grade in found}) == (0, {"ok"})
    assert "nothing is wrong" in apprun("doctor", "--no-pod").out


def test_an_old_kubernetes_is_named(apprun: Command, installed: FakeCluster) -> None:
    installed.version = {"major": "1", "minor": "28+", "gitVersion": "v1.28.3"}
    code, found = looked(apprun)
    assert code == 1
    assert "v1.28.3" in found["Kubernetes", "error"]["said"]
    assert "1.30" in found["Kubernetes", "error"]["remedy"]


def test_missing_crds_are_named(apprun: Command, installed: FakeCluster) -> None:
    installed.served = False
    code, found = looked(apprun)
    assert code == 1
    assert "helm install" in found["CRDs", "error"]["remedy"]


def test_a_second_installation_is_named_unless_each_has_its_own_namespaces(
    apprun: Command, installed: FakeCluster
) -> None:
    operator(installed, "other")
    code, found = looked(apprun)
    assert code == 1
    assert "other/apprun" in found["operator", "error"]["said"]
    operator(installed, "other", APPRUN_NAMESPACES="a,b")
    operator(installed, APPRUN_NAMESPACES="c")
    assert looked(apprun)[0] == 0


def test_an_operator_that_is_missing_or_not_ready_is_named(apprun: Command, installed: FakeCluster) -> None:
    operator(installed, ready=0)
    code, found = looked(apprun)
    assert (code, "kubectl -n apprun-system logs" in found["operator", "error"]["remedy"]) == (1, True)
    installed.remove("/apis/apps/v1/namespaces/apprun-system/deployments/apprun")
    code, found = looked(apprun)
    assert (code, found["operator", "error"]["said"]) == (1, "there is no operator")


def test_a_leader_that_left_is_named(apprun: Command, installed: FakeCluster) -> None:
    operator(installed, APPRUN_LEASE="apprun-system/apprun")
    lease = "/apis/coordination.k8s.io/v1/namespaces/apprun-system/leases/apprun"
    installed.put(lease, {"spec": {"holderIdentity": "apprun-1", "renewTime": "2026-07-01T10:00:00.000000Z"}})
    code, found = looked(apprun)
    assert code == 1
    assert found["leader", "error"]["said"].startswith("apprun-1 led last")


def test_a_policy_that_nothing_enforces_is_named(apprun: Command, installed: FakeCluster) -> None:
    installed.remove(f"{BINDINGS}/apprun-calls")
    code, found = looked(apprun)
    assert (code, found["policies", "error"]["said"]) == (1, "nothing enforces apprun-calls")


def test_a_fence_that_lets_a_stranger_through_is_named(apprun: Command, installed: FakeCluster) -> None:
    installed.refusals.clear()
    code, found = looked(apprun)
    assert code == 1
    assert "a task that no driver made" in found["fence", "error"]["said"]
    assert not any("apptasks" in path for path in installed.objects)  # it was a dry run


def test_what_one_may_not_see_is_left_out_and_not_called_wrong(apprun: Command, installed: FakeCluster) -> None:
    words = 'deployments.apps is forbidden: User "ada" cannot list resource "deployments"'
    installed.refusals["GET", "/apis/apps/v1/deployments"] = refuse(403, "Forbidden", words)
    code, found = looked(apprun)
    assert code == 0
    assert "you may not see this" in found["operator", "skipped"]["said"]
