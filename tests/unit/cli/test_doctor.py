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


def authors(cluster: FakeCluster, *expressions: str) -> None:
    """The policy about authors of Apps, with these rules."""
    spec = {"validations": [{"expression": expression} for expression in expressions]}
    cluster.put(f"{POLICIES}/apprun-authors", {"metadata": {"labels": OURS}, "spec": spec})
    bound = {"policyName": "apprun-authors", "validationActions": ["Deny"]}
    cluster.put(f"{BINDINGS}/apprun-authors", {"metadata": {"labels": OURS}, "spec": bound})


@pytest.fixture
def installed(cluster: FakeCluster) -> FakeCluster:
    """A cluster on which nothing is wrong."""
    operator(cluster)
    cluster.put(f"{POLICIES}/apprun-calls", {"metadata": {"labels": OURS}, "spec": {}})
    authors(cluster, "authorizer.group('').resource('pods')", "authorizer.group('').check('use')")
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
    code, results = looked(apprun)
    assert (code, {grade for _, grade in results}) == (0, {"ok"})
    assert "nothing is wrong" in apprun("doctor", "--no-pod").out


def test_an_old_kubernetes_is_named(apprun: Command, installed: FakeCluster) -> None:
    installed.version = {"major": "1", "minor": "28+", "gitVersion": "v1.28.3"}
    code, results = looked(apprun)
    assert code == 1
    assert "v1.28.3" in results["Kubernetes", "error"]["said"]
    assert "1.30" in results["Kubernetes", "error"]["remedy"]


def test_missing_crds_are_named(apprun: Command, installed: FakeCluster) -> None:
    installed.served = False
    code, results = looked(apprun)
    assert code == 1
    assert "helm install" in results["CRDs", "error"]["remedy"]


def test_overlapping_installations_are_an_error(apprun: Command, installed: FakeCluster) -> None:
    operator(installed, "other")
    code, results = looked(apprun)
    assert code == 1
    assert "other/apprun" in results["operator", "error"]["said"]
    operator(installed, "other", APPRUN_NAMESPACES="a,b")
    operator(installed, APPRUN_NAMESPACES="c")
    assert looked(apprun)[0] == 0


def test_an_operator_that_is_missing_or_not_ready_is_named(apprun: Command, installed: FakeCluster) -> None:
    operator(installed, ready=0)
    code, results = looked(apprun)
    assert (code, "kubectl -n apprun-system logs" in results["operator", "error"]["remedy"]) == (1, True)
    installed.remove("/apis/apps/v1/namespaces/apprun-system/deployments/apprun")
    code, results = looked(apprun)
    assert (code, results["operator", "error"]["said"]) == (1, "there is no operator")


def test_a_leader_that_left_is_named(apprun: Command, installed: FakeCluster) -> None:
    operator(installed, APPRUN_LEASE="apprun-system/apprun")
    lease = "/apis/coordination.k8s.io/v1/namespaces/apprun-system/leases/apprun"
    installed.put(lease, {"spec": {"holderIdentity": "apprun-1", "renewTime": "2026-07-01T10:00:00.000000Z"}})
    code, results = looked(apprun)
    assert code == 1
    assert results["leader", "error"]["said"].startswith("apprun-1 led last")


def test_a_policy_that_nothing_enforces_is_named(apprun: Command, installed: FakeCluster) -> None:
    installed.remove(f"{BINDINGS}/apprun-calls")
    code, results = looked(apprun)
    assert (code, results["policies", "error"]["said"]) == (1, "nothing enforces apprun-calls")


@pytest.mark.parametrize(
    ("left", "value", "words"),
    [
        ("check('use')", "createPods", "runs code in the"),
        ("resource('pods')", "useServiceAccounts", "runs code as any"),
    ],
)
def test_a_rule_about_authors_that_is_off_is_named(
    apprun: Command, installed: FakeCluster, left: str, value: str, words: str
) -> None:
    authors(installed, left)
    code, results = looked(apprun)
    assert (code, words in results["authors", "warning"]["said"]) == (0, True)
    assert f"admissionPolicy.authors.{value}=true" in results["authors", "warning"]["remedy"]


def test_a_fence_that_lets_a_stranger_through_is_named(apprun: Command, installed: FakeCluster) -> None:
    installed.refusals.clear()
    code, results = looked(apprun)
    assert code == 1
    assert "a task that no driver made" in results["fence", "error"]["said"]
    assert not any("apptasks" in path for path in installed.objects)  # it was a dry run


def test_what_one_may_not_see_is_left_out_and_not_called_wrong(apprun: Command, installed: FakeCluster) -> None:
    words = 'deployments.apps is forbidden: User "ada" cannot list resource "deployments"'
    installed.refusals["GET", "/apis/apps/v1/deployments"] = refuse(403, "Forbidden", words)
    code, results = looked(apprun)
    assert code == 0
    assert "you may not see this" in results["operator", "skipped"]["said"]


# What the pods of a namespace's runs need

IN_TEAM = "/namespaces/team"
ROLE_BINDINGS = f"/apis/rbac.authorization.k8s.io/v1{IN_TEAM}/rolebindings"
ACCOUNTS = f"/api/v1{IN_TEAM}/serviceaccounts"
NETWORK_POLICIES = f"/apis/networking.k8s.io/v1{IN_TEAM}/networkpolicies"


def binding(cluster: FakeCluster, name: str, subject: Object, role: str = "") -> None:
    reference = {"kind": "ClusterRole", "name": role or name}
    cluster.put(f"{ROLE_BINDINGS}/{name}", {"roleRef": reference, "subjects": [subject]})


@pytest.fixture
def at_work(installed: FakeCluster) -> FakeCluster:
    """A namespace with a run at work, in which nothing is wrong."""
    installed.run("daily", phase="Running")
    for name in ("apprun-driver", "apprun-task"):
        installed.put(f"{ACCOUNTS}/{name}", {})
    binding(installed, "apprun-driver", {"kind": "ServiceAccount", "name": "apprun-driver", "namespace": "team"})
    binding(installed, "apprun-task", {"kind": "Group", "name": "system:serviceaccounts:team"})
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    installed.put(
        f"{slices}/kubernetes",
        {
            "metadata": {"labels": {"kubernetes.io/service-name": "kubernetes"}},
            "ports": [{"port": 6443}],
            "endpoints": [{"addresses": ["192.0.2.10"]}],
        },
    )
    return installed


def test_a_namespace_with_all_that_its_pods_need_is_sound(apprun: Command, at_work: FakeCluster) -> None:
    code, results = looked(apprun)
    assert code == 0
    assert {("accounts", "ok"), ("bindings", "ok"), ("egress", "ok")} <= results.keys()


def test_missing_service_accounts_are_named(apprun: Command, at_work: FakeCluster) -> None:
    at_work.remove(f"{ACCOUNTS}/apprun-task")
    code, results = looked(apprun)
    assert (code, "apprun-task is missing" in results["accounts", "error"]["said"]) == (1, True)


def test_missing_bindings_are_named(apprun: Command, at_work: FakeCluster) -> None:
    at_work.remove(f"{ROLE_BINDINGS}/apprun-driver")
    code, results = looked(apprun)
    assert (code, "apprun-driver is missing" in results["bindings", "error"]["said"]) == (1, True)


@pytest.mark.parametrize(
    ("subject", "role", "words"),
    [
        ({"kind": "Group", "name": "system:serviceaccounts:other"}, "", "not among its subjects"),
        ({"kind": "Group", "name": "system:serviceaccounts:team"}, "view", "it binds ClusterRole view"),
    ],
)
def test_altered_bindings_are_named(
    apprun: Command, at_work: FakeCluster, subject: Object, role: str, words: str
) -> None:
    binding(at_work, "apprun-task", subject, role)
    code, results = looked(apprun)
    assert (code, words in results["bindings", "error"]["said"]) == (1, True)
    assert "delete rolebinding apprun-task" in results["bindings", "error"]["remedy"]


def test_nothing_is_missing_where_no_run_is_at_work(apprun: Command, installed: FakeCluster) -> None:
    installed.run("daily", phase="Succeeded")
    assert looked(apprun)[0] == 0


def egress(cluster: FakeCluster, *rules: Object, **selector: Any) -> None:
    spec = {"podSelector": selector, "policyTypes": ["Egress"], "egress": list(rules)}
    cluster.put(f"{NETWORK_POLICIES}/deny", {"spec": spec})


def block(cidr: str, *exceptions: str) -> Object:
    return {"to": [{"ipBlock": {"cidr": cidr, "except": list(exceptions)}}]}


@pytest.mark.parametrize(
    ("rules", "grade"),
    [
        ([], "error"),
        ([block("10.0.0.0/8")], "error"),
        ([block("192.0.2.0/24")], "ok"),
        ([block("192.0.2.0/24", "192.0.2.10/32")], "error"),
        ([{}], "ok"),
        ([{"ports": [{"port": 53, "protocol": "UDP"}]}], "error"),
        ([{"ports": [{"port": 6000, "endPort": 7000}]}], "ok"),
        ([{"ports": [{"port": 443}]}], "skipped"),
        ([{"ports": [{"port": "https"}]}], "skipped"),
        ([{"to": [{"namespaceSelector": {}}]}], "skipped"),
        ([{"to": [{"namespaceSelector": {}}]}, block("192.0.2.10/32")], "ok"),
    ],
)
def test_egress_to_the_api_server_is_judged_by_all_rules(
    apprun: Command, at_work: FakeCluster, rules: list[Object], grade: str
) -> None:
    egress(at_work, *rules)
    code, results = looked(apprun)
    assert ("egress", grade) in results
    assert code == (1 if grade == "error" else 0)


@pytest.mark.parametrize(
    ("selector", "grade"),
    [
        ({"matchLabels": {"app": "shop"}}, "ok"),
        ({"matchLabels": {"apprun.dev/role": "driver"}}, "error"),
        ({"matchLabels": {"apprun.dev/role": "worker"}}, "error"),
        ({"matchLabels": {"apprun.dev/role": "worker", "apprun.dev/pool": "hello-w-1a2b3c4d"}}, "error"),
        ({"matchLabels": {"apprun.dev/role": "handler"}}, "ok"),
        ({"matchLabels": {"apprun.dev/run": "daily"}}, "error"),
        ({"matchExpressions": [{"key": "app.kubernetes.io/managed-by", "operator": "DoesNotExist"}]}, "ok"),
        ({"matchExpressions": [{"key": "apprun.dev/role", "operator": "In", "values": ["task"]}]}, "error"),
    ],
)
def test_policies_that_select_no_pod_of_a_run_do_not_count(
    apprun: Command, at_work: FakeCluster, selector: Object, grade: str
) -> None:
    egress(at_work, **selector)
    assert ("egress", grade) in looked(apprun)[1]


def test_what_cannot_be_seen_of_the_network_is_said(apprun: Command, at_work: FakeCluster) -> None:
    at_work.refusals["GET", NETWORK_POLICIES] = refuse(403, "Forbidden", "networkpolicies is forbidden: cannot list")
    code, results = looked(apprun)
    assert (code, "can't tell" in results["egress", "skipped"]["said"]) == (0, True)
