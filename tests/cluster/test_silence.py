"""A run that doesn't get on says why: what its calls wait for, that its driver reaches nobody, that its route computes.

What takes a minute by itself is begun first and looked at last: a driver without a way to the API server, and pods
whose service accounts were deleted. Pods of all runs but the first of these are on node2.
"""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.bed import EXISTING, Bed
from tests.support.kube import CORE, ApiError, Kube, Object, eventually
from tests.support.runs import APPS, Runs, source
from tests.support.terminal import Terminal

pytestmark = pytest.mark.exclusive

needs_own_cluster = pytest.mark.skipif(EXISTING, reason="the network of an existing cluster is not ours to break")
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
LABEL = "apprun.dev/test"
SECRETS = [{"name": "absent", "secret": {"name": "absent"}}]


def place(kube: Kube, node: str = "node2") -> Runs:
    """A namespace with the app, whose pods go to that node."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.create(f"{CORE}/namespaces", {"metadata": {"name": name, "labels": labels}})
    runs = Runs(kube, name)
    runs.upload("waits")
    pod = {} if EXISTING else {"pod": {"nodeSelector": {"kubernetes.io/hostname": node}}}
    runs.app("waits", "app:Waits", secrets=SECRETS, **pod)
    return runs


@pytest.fixture
def waits(kube: Kube) -> Iterator[Runs]:
    runs = place(kube)
    yield runs
    kube.delete(f"{CORE}/namespaces/{runs.namespace}")


@contextmanager
def no_way_to_the_api_server(bed: Bed, node: str) -> Iterator[None]:
    """Reject what pods that come to the node from now on send to the API server, as a NetworkPolicy would. The bed's
    network plugin enforces none."""
    (piece,) = bed.kube.items(f"{SLICES}?labelSelector=kubernetes.io/service-name=kubernetes")
    port = str(piece["ports"][0]["port"])
    here = bed.kube.items(f"{CORE}/pods?fieldSelector=spec.nodeName={node}")
    chain = "APPRUN-TEST"

    def iptables(*words: str, check: bool = True) -> None:
        command = ["nsenter", f"--net=/run/netns/{bed.name}-{node}", "iptables", "-w", *words]
        subprocess.run(command, check=check, capture_output=not check)

    def restore() -> None:
        iptables("-D", "FORWARD", "-j", chain, check=False)
        iptables("-F", chain, check=False)
        iptables("-X", chain, check=False)

    restore()
    try:
        iptables("-N", chain)
        for pod in here:
            if "podIP" in pod["status"] and not pod["spec"].get("hostNetwork"):
                iptables("-A", chain, "-s", pod["status"]["podIP"], "-j", "RETURN")
        # Only what pods send is forwarded: the node's own connections don't come by.
        iptables("-A", chain, "-p", "tcp", "--dport", port, "-j", "REJECT")
        iptables("-I", "FORWARD", "-j", chain)
        yield
    finally:
        restore()


@pytest.fixture(scope="module")
def cut_off(bed: Bed) -> Iterator[Runs | None]:
    """A run whose driver has no way to the API server, begun before all others of this module."""
    if EXISTING:
        yield None
        return
    runs = place(bed.kube, "node1")
    runs.until_inspected("waits")
    with no_way_to_the_api_server(bed, "node1"):
        runs.start("cut-off", "waits")
        yield runs
    bed.kube.delete(f"{CORE}/namespaces/{runs.namespace}")


@pytest.fixture(scope="module")
def bereft(bed: Bed) -> Iterator[Runs]:
    """A run whose service accounts were deleted while it was at work, before all other tests of this module."""
    runs = place(bed.kube)
    runs.start("bereft", "waits", {"pieces": ["works"], "rounds": 2})
    runs.until_committed("bereft", 1)
    for name in ("apprun-driver", "apprun-task"):
        runs.kube.delete(f"{runs.core}/serviceaccounts/{name}")
    yield runs
    bed.kube.delete(f"{CORE}/namespaces/{runs.namespace}")


@pytest.fixture(autouse=True)
def begun_first(cut_off: Runs | None, bereft: Runs) -> None:
    """Has every test begin after these two have."""


def until_told(runs: Runs, run: str, reason: str, seconds: float = 90) -> Object:
    """Wait until the run gives this reason; its status."""

    def told() -> Object | None:
        status = runs.status(run)
        ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
        return status if ready.get("reason") == reason else None

    return eventually(f"{run} says {reason}", told, seconds)


def until_cleared(runs: Runs, run: str) -> None:
    """Wait until the run says no more that anything waits."""

    def cleared() -> bool | None:
        status = runs.status(run)
        moved = status["phase"] == "Succeeded" or (status["message"] == "" and status["tasks"]["waiting"] == 0)
        return moved or None

    eventually(f"{run} waits no more", cleared, 150)


def conditions(status: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


@pytest.fixture
def apprun(bed: Bed, tmp_path: Path) -> Terminal:
    """A cluster admin."""
    return Terminal(tmp_path, bed.kubeconfig, "default", (Path(bed.kubectl).parent,))


def doctor(apprun: Terminal, runs: Runs) -> dict[str, Object]:
    done = apprun("doctor", "-n", runs.namespace, "--no-pod", "-o", "json", code=None)
    return {check["topic"]: check for check in done.json["checks"]}


def assert_described(apprun: Terminal, runs: Runs, run: str, reason: str) -> None:
    shown = apprun("describe", run, "-n", runs.namespace).out
    assert reason in shown
    assert "Nothing is wrong" not in shown


# What calls wait for


def test_run_tells_what_each_kind_of_call_waits_for(waits: Runs) -> None:
    waits.start("node", "waits", {"pieces": ["wants a node", "wants another node", "works"]})
    waits.start("image", "waits", {"pieces": ["wants an image"]})
    waits.start("secret", "waits", {"pieces": ["wants a secret"]})
    node = until_told(waits, "node", "Unschedulable")
    assert re.match(r"2 of [23] open calls wait, Unschedulable \(2\): no node takes the pod", node["message"])
    assert (node["tasks"]["waiting"], node["phase"]) == (2, "Running")
    assert conditions(node) == {"Ready": "False", "Reconciling": "True", "Stalled": "False", "Succeeded": "Unknown"}
    image = until_told(waits, "image", "ImagePullFailed")
    assert "1 of 1 open call waits, ImagePullFailed (1): image 'localhost:5000/absent:1'" in image["message"]
    assert image["tasks"]["waiting"] == 1
    secret = until_told(waits, "secret", "SecretNotFound")
    assert "Secret 'absent'" in secret["message"]
    assert secret["tasks"]["waiting"] == 1
    waits.kube.create(f"{waits.core}/secrets", {"metadata": {"name": "absent"}, "stringData": {"token": "x"}})
    node2 = f"{CORE}/nodes/node2"
    waits.kube.merge(node2, {"metadata": {"labels": {LABEL: "waits"}}})
    try:
        until_cleared(waits, "node")
        until_cleared(waits, "secret")
    finally:
        waits.kube.merge(node2, {"metadata": {"labels": {LABEL: None}}})


def test_run_tells_of_a_quota_and_goes_on_when_it_is_raised(waits: Runs) -> None:
    waits.until_inspected("waits")
    quotas = f"{waits.core}/resourcequotas"
    waits.kube.create(quotas, {"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}})
    waits.start("quota", "waits", {"pieces": ["works", "works too"]})
    status = until_told(waits, "quota", "QuotaExceeded")
    assert status["message"].startswith("2 of 2 open calls wait, QuotaExceeded (2): ")
    assert "exceeded quota: one" in status["message"]
    assert status["tasks"]["waiting"] == 2
    waits.kube.delete(f"{quotas}/one")
    assert waits.until_phase("quota", "Succeeded", "Failed")["phase"] == "Succeeded"


# What is taken from a namespace while its runs are at work


def test_run_goes_on_by_itself_when_its_bindings_are_pruned(waits: Runs, apprun: Terminal) -> None:
    waits.start("pruned", "waits", {"pieces": ["works"], "rounds": 3})
    waits.until_committed("pruned", 1)
    bindings = f"{RBAC}/namespaces/{waits.namespace}/rolebindings"

    def named() -> bool | None:
        for name in ("apprun-driver", "apprun-task"):
            waits.kube.delete(f"{bindings}/{name}")
        return doctor(apprun, waits)["bindings"]["grade"] == "error" or None

    eventually("doctor names the bindings", named, 30)
    assert waits.until_phase("pruned", "Succeeded", "Failed", "Stalled", seconds=150)["phase"] == "Succeeded"


# What a route does


def test_route_that_computes_for_ever_is_told_with_its_line(waits: Runs, apprun: Terminal) -> None:
    waits.start("busy", "waits", {}, entrypoint="compute")
    status = until_told(waits, "busy", "RouteNotYielding")
    text = (APPS / "waits.py").read_text().splitlines()
    loop = next(number for number, line in enumerate(text, 1) if "while number >= 0" in line)
    assert re.search(rf"app\.py:({loop}|{loop + 1})\b", status["message"])
    assert_described(apprun, waits, "busy", "RouteNotYielding")


# What the API server refuses


def test_denial_of_a_policy_is_called_one(waits: Runs) -> None:
    waits.until_inspected("waits")
    policy = f"fridays-{waits.namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": waits.namespace}}
    expression = "object.metadata.labels[?'apprun.dev/role'].orValue('') != 'task'"
    spec: Object = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": chosen, "resourceRules": [rule]},
        "validations": [{"expression": expression, "message": "no pods on Fridays"}],
    }
    kube = waits.kube
    kube.create(f"{ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": policy}, "spec": spec})
    bound = {"policyName": policy, "validationActions": ["Deny"]}
    kube.create(f"{ADMISSION}/validatingadmissionpolicybindings", {"metadata": {"name": policy}, "spec": bound})
    try:
        eventually("the policy is in force", lambda: refuses_a_task_pod(waits), 60)
        waits.start("refused", "waits", {"pieces": ["works"]})
        error = waits.until_phase("refused", "Succeeded", "Failed")["error"]
        assert "no pods on Fridays" in error["message"]
        (task,) = waits.tasks("refused")
        assert task["status"]["error"]["type"] == "PodForbidden"
    finally:
        kube.delete(f"{ADMISSION}/validatingadmissionpolicybindings/{policy}")
        kube.delete(f"{ADMISSION}/validatingadmissionpolicies/{policy}")


def refuses_a_task_pod(runs: Runs) -> bool | None:
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {"name": "main", "image": "localhost/apprun-pause:1", "securityContext": confined}
    spec = {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}, "containers": [container]}
    pod = {"metadata": {"name": "try", "labels": {"apprun.dev/role": "task"}}, "spec": spec}
    try:
        runs.kube.create(f"{runs.core}/pods?dryRun=All", pod)
    except ApiError as error:
        return "no pods on Fridays" in str(error) or None
    return None


def test_the_largest_input_runs_and_a_larger_is_refused(waits: Runs) -> None:
    rest = len(json.dumps({"text": ""}, separators=(",", ":")))
    waits.start("large", "waits", {"text": '"' * ((240 * 1024 - rest) // 2)})
    waits.start("larger", "waits", {"text": '"' * (120 * 1024)})
    status = until_told(waits, "larger", "InvalidInput")
    assert "the limit is 240 KiB, so no pod was started" in status["message"]
    assert not waits.pods("larger")
    assert waits.until_phase("large", "Succeeded", "Failed", "Stalled")["phase"] == "Succeeded"


def test_app_with_a_long_name_says_that_it_is_not_inspected(waits: Runs) -> None:
    name = "a" * 64
    waits.app(name, "app:Waits", source=source("waits"))

    def ready() -> Object | None:
        status = waits.kube.get(f"{waits.api}/apps/{name}").get("status", {})
        return next((one for one in status.get("conditions", []) if one["type"] == "Ready"), None)

    said = eventually("the App says something", ready)
    assert said["reason"] == "NotInspected"
    assert "63 characters" in said["message"]


# What was begun first


def test_run_goes_on_by_itself_when_its_accounts_are_deleted(bereft: Runs) -> None:
    assert bereft.until_phase("bereft", "Succeeded", "Failed", seconds=240)["phase"] == "Succeeded"


@needs_own_cluster
def test_driver_without_a_way_to_the_api_server_is_told(bed: Bed, cut_off: Runs, apprun: Terminal) -> None:
    status = until_told(cut_off, "cut-off", "NoContact", 120)
    assert status["phase"] == "Running"
    assert "has not reached the API server" in status["message"]
    assert_described(apprun, cut_off, "cut-off", "NoContact")
    spec = {"podSelector": {}, "policyTypes": ["Egress"]}
    policies = f"/apis/networking.k8s.io/v1/namespaces/{cut_off.namespace}/networkpolicies"
    cut_off.kube.create(policies, {"metadata": {"name": "deny-egress"}, "spec": spec})
    answer = doctor(apprun, cut_off)["egress"]
    assert (answer["grade"], "deny-egress" in answer["said"]) == ("error", True)
