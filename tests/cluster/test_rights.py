"""Rights and confinement on the real cluster: what is granted is used, what isn't granted isn't asked for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.cluster.admission_world import operator_account
from tests.cluster.apiserver import Client
from tests.support import audit
from tests.support.audit import Right
from tests.support.bed import EXISTING, SYSTEM_NAMESPACE, Bed
from tests.support.kube import ApiError, Object, eventually
from tests.support.replicas import LEASE
from tests.support.runs import Runs, source

needs_own_cluster = pytest.mark.skipif(EXISTING, reason="the record of an existing API server is out of reach")
OPERATOR = f"{SYSTEM_NAMESPACE}:apprun"
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.")
"""How a service account's token begins: two parts of JSON in base64."""
IMPLIED = {Right("rbac.authorization.k8s.io/clusterroles", "bind")}
"""Never asked for by itself: the API server looks for it when a RoleBinding is created."""
SHOWN_ELSEWHERE = {
    "apprun.dev/apps/status": "test_handlers.py",
    "apps/deployments": "test_handlers.py",
    "services": "test_handlers.py",
    "rbac.authorization.k8s.io/clusterrolebindings": "test_handlers.py",
    "apprun.dev/appstates": "test_state.py",
    "apprun.dev/appworkers": "test_warm_pods.py",
    "apprun.dev/appworkers/status": "test_warm_pods.py",
    "rbac.authorization.k8s.io/roles": "test_warm_pods.py",
}
"""Resources of which other tests show that the operator's rights are used."""


@pytest.fixture
def as_operator(bed: Bed) -> Client:
    """Somebody with all rights whom the policies take for the operator."""
    admin = Client.from_kubeconfig(bed.kubeconfig)
    account = ":".join(("system:serviceaccount", *operator_account(admin)))
    return admin.impersonating(account, "system:masters")


@contextmanager
def meddling(runs: Runs, path: str) -> Iterator[None]:
    """Somebody changes an object's annotations all the time, so that now and then the operator is late."""
    over = threading.Event()

    def interfere() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                runs.kube.merge(f"{runs.api}/{path}", {"metadata": {"annotations": {"n": str(number)}}})
            except ApiError:  # it isn't there yet, or not any more
                time.sleep(0.05)

    thread = threading.Thread(target=interfere)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def stalls(runs: Runs, run: str, reason: str) -> None:
    def stalled() -> bool | None:
        condition = runs.condition(run, "Stalled")
        return (condition is not None and condition["reason"] == reason) or None

    eventually(f"{run} stalls: {reason}", stalled, 90)


def put_in_the_way(runs: Runs, as_operator: Client) -> None:
    """Objects of others where the operator's own would go, so that it has to look whose they are."""
    task = {"run": "left", "role": "driver", "key": "driver", "task": "run", "input": {}}
    body = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppTask", "metadata": {"name": "left-driver"}, "spec": task}
    answer = as_operator.create(f"{runs.api}/apptasks", body)
    assert answer.allowed, answer.message
    runs.start("left", "probe", {"before": 0, "width": 0, "after": 0})
    stalls(runs, "left", "NameTaken")
    # Nobody but the operator may make a pod of such a name, and nobody knows it before the run is there.
    runs.start("taken", "probe", {"before": 0, "width": 0, "after": 0}, suspend=True)
    pod = {"containers": [{"name": "main", "image": "localhost/apprun-pause:1"}]}
    body = {"metadata": {"name": runs.driver_pod("taken")}, "spec": confined(pod)}
    answer = as_operator.create(f"{runs.core}/pods", body)
    assert answer.allowed, answer.message
    runs.kube.merge(f"{runs.api}/appruns/taken", {"spec": {"suspend": False}})
    stalls(runs, "taken", "PodNameTaken")


def confined(spec: Object) -> Object:
    """A pod's spec that meets `restricted`."""
    (container,) = spec["containers"]
    container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {**spec, "securityContext": security}


def fill_a_page_and_lose_it(bed: Bed, runs: Runs, as_operator: Client) -> None:
    """A ledger of more than a status holds; a second driver, which reads its page; then that is gone, and the operator
    looks for it itself before it says so."""
    with meddling(runs, "appruns/long"):
        runs.start("long", "paged")
        eventually("a page is full", lambda: runs.status("long").get("ledgerPages"), 180)
    runs.kube.delete(f"{runs.core}/pods/{runs.driver_pod('long')}", gracePeriodSeconds=0)
    until_all_used(bed, f"{runs.namespace}:apprun-driver", {Right("apprun.dev/appledgers", "get")}, 90)
    assert as_operator.delete(f"{runs.api}/appledgers/long-0").allowed
    stalls(runs, "long", "LedgerUnreadable")


def stall_twice_for_the_same_reason(runs: Runs) -> None:
    runs.app("wrong", "nowhere:Probe", source=source("probe"))
    runs.start("twice", "wrong", {"width": "many"})
    stalls(runs, "twice", "LoadFailed")
    runs.kube.merge(f"{runs.api}/apps/wrong", {"spec": {"entry": "app:Probe"}})
    stalls(runs, "twice", "InvalidInput")
    runs.kube.merge(f"{runs.api}/apps/wrong", {"spec": {"entry": "nowhere:Probe"}})
    stalls(runs, "twice", "LoadFailed")


@pytest.mark.exclusive
@needs_own_cluster
def test_each_granted_right_is_used_and_no_other_asked_for(bed: Bed, runs: Runs, as_operator: Client) -> None:
    runs.app("chain", "app:Chain", source=source("probe"), serviceAccountName="probe")
    runs.upload("paged")
    runs.app("paged", "app:Paged")
    absent = [{"name": "absent", "secret": {"name": "absent"}}]
    runs.app("wanting", "app:Wanting", source=source("paged"), secrets=absent)
    runs.start("wanting", "wanting")
    runs.kube.delete(LEASE)
    put_in_the_way(runs, as_operator)
    stall_twice_for_the_same_reason(runs)
    fill_a_page_and_lose_it(bed, runs, as_operator)
    runs.start("short", "chain", {"width": 1}, retention={"ttlSecondsAfterFinished": 1})
    eventually("the run's retention is over", lambda: runs.kube.find(f"{runs.api}/appruns/short") is None or None, 120)
    operator = ("clusterroles/apprun-operator", f"namespaces/{SYSTEM_NAMESPACE}/roles/apprun-lease")
    for user, roles, exempt in (
        (OPERATOR, operator, IMPLIED),
        (f"{runs.namespace}:apprun-driver", ("clusterroles/apprun-driver",), set()),
        (f"{runs.namespace}:apprun-task", ("clusterroles/apprun-task",), set()),
    ):
        rights = {r for r in audit.granted(bed.kube, *roles) - exempt if r.resource not in SHOWN_ELSEWHERE}
        found = until_all_used(bed, user, rights)
        assert {right for right, allowed in found.items() if not allowed} == set(), f"{user} asks for more than it has"


def until_all_used(bed: Bed, user: str, rights: set[Right], seconds: float = 30) -> dict[Right, bool]:
    def asked() -> dict[Right, bool] | None:
        found = audit.asked(bed.name, user)
        return found if rights <= set(found) else None

    try:
        return eventually(f"{user} uses all of its rights", asked, seconds)
    except AssertionError as error:
        unused = sorted(rights - set(audit.asked(bed.name, user)))
        raise AssertionError(f"{user} never uses {unused}") from error


def test_nobodys_token_shows_in_an_object_or_a_log(bed: Bed, runs: Runs) -> None:
    runs.start("told", "probe", {"before": 1, "width": 2, "after": 1, "seconds": 3})
    runs.until_committed("told", 1)
    seen = [bed.run(bed.kubectl, "-n", runs.namespace, "logs", f"pod/{pod['metadata']['name']}", check=False).stdout
            for pod in runs.pods("told")]  # fmt: skip
    assert runs.until_phase("told", "Succeeded", "Failed")["phase"] == "Succeeded"
    kinds = "appruns,apptasks,appledgers,apps,pods,configmaps,serviceaccounts,events"
    seen.append(bed.run(bed.kubectl, "-n", runs.namespace, "get", kinds, "-o", "yaml").stdout)
    selector = "--selector=app.kubernetes.io/component=operator"
    seen.append(bed.run(bed.kubectl, "-n", SYSTEM_NAMESPACE, "logs", selector, "--tail=-1").stdout)
    assert "apprun" in seen[-1]
    assert "told" in seen[-2]
    for text in seen:
        assert not TOKEN.search(text)
    token = bed.run(bed.kubectl, "-n", runs.namespace, "create", "token", "probe").stdout
    assert TOKEN.match(token), "that is what was looked for"


def test_code_in_a_pod_is_confined(runs: Runs) -> None:
    runs.upload("confined")
    runs.app("confined", "app:Confined", source=source("confined"))
    runs.kube.create(
        f"{runs.core}/services", {"metadata": {"name": "neighbour"}, "spec": {"ports": [{"port": 80}]}}
    )  # fmt: skip
    runs.start("confined", "confined")
    status = runs.until_phase("confined", "Succeeded", "Failed")
    assert status["output"] == {
        "uid": 65532,
        "capabilities": " ".join(["0" * 16] * 3),
        "no_new_privileges": "1",
        "seccomp": "2",
        "root_is_writable": False,
        "tmp_is_writable": True,
        "services": ["KUBERNETES_SERVICE_HOST"],
    }
