"""The cause table on a real cluster: what ends an attempt or keeps it from starting, as it is told and charged."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bed import EXISTING, Bed
from tests.support.kube import CORE, ApiError, Object, eventually
from tests.support.remote import as_bundle, registry_on, webhook
from tests.support.runs import Runs, source
from tests.support.wire_server import make_certificate

from application_sdk.wire import names

needs_own_cluster = pytest.mark.skipif(
    EXISTING, reason="nodes and control plane of an existing cluster are not ours to meddle with"
)
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.fixture
def causes(runs: Runs) -> Runs:
    """The namespace with the app `causes`."""
    runs.upload("causes")
    runs.app("causes", "app:Causes")
    return runs


def start(causes: Runs, *calls: str) -> None:
    causes.start("cause", "causes", {"calls": list(calls)})


def task_of(causes: Runs, how: str) -> Object | None:
    return next((task for task in causes.tasks("cause") if task["spec"]["input"]["how"] == how), None)


def status_of(causes: Runs, how: str) -> Object:
    task = task_of(causes, how)
    return {} if task is None else dict(task["status"])


def until_waiting(causes: Runs, how: str, reason: str) -> str:
    """Wait until the call says that it waits for this reason; its words."""

    def words() -> str | None:
        status = status_of(causes, how)
        message = str(status.get("message", ""))
        return message if status.get("phase") == "Waiting" and message.startswith(reason) else None

    return eventually(f"{how!r} waits: {reason}", words, 90)


def until_at_work(causes: Runs, how: str, attempt: int = 1) -> str:
    """Wait until the body runs; the pod's name."""
    task = eventually(f"{how!r} is called", lambda: task_of(causes, how))
    name = names.pod_name(task["metadata"]["name"], attempt, task["metadata"]["ownerReferences"][0]["uid"])

    def runs() -> str | None:
        pod = causes.kube.find(f"{causes.core}/pods/{name}")
        return name if pod is not None and pod["status"].get("phase") == "Running" else None

    return eventually(f"pod {name} runs", runs)


def assert_disrupted(causes: Runs, how: str, reason: str) -> Object:
    """The run succeeded with the call's second attempt; the first one, ended for this reason, was charged to nobody's
    retries."""
    assert causes.until_phase("cause", "Succeeded", "Failed")["output"] == {"errors": [""]}
    status = status_of(causes, how)
    (attempt,) = status["attempts"]
    assert (attempt["reason"], attempt["budget"]) == (reason, "Disruption"), attempt
    assert (status["phase"], status["attempt"]) == ("Succeeded", 2)
    assert status["message"] == f"Disruption 1/20: {reason}"
    return dict(attempt)


# Ends of the task's own making, all in one run

OWN_ENDS: dict[str, tuple[str, str, int | None, str]] = {
    # how it ends: reason, charged to, exit code, words
    "raises": ("ValueError", "App", None, "no such luck"),
    "exits": ("ProcessDied", "App", 3, "exit code 3"),
    "exits well": ("NoReport", "App", 0, "reported nothing"),
    "crashes": ("ProcessDied", "App", 139, "signal 11"),
    "swells": ("OOMKilled", "App", 137, "raise memory"),
    "slow": ("TimedOut", "App", None, "timeout_seconds"),
    "late": ("TimedOut", "App", None, "schedule_to_close_seconds"),
    "blocks": ("HeartbeatLost", "App", 1, "heartbeat_timeout_seconds"),
    "idles": ("NoProgress", "App", None, "max_no_progress_seconds"),
    "no program": ("ContainerNotStarted", "App", 128, "python3"),
    "no name": ("ImagePullFailed", "App", None, "localhost/NO:1"),
}


@pytest.fixture(scope="module")
def ended(bed: Bed) -> Iterator[Runs]:
    """A run in which a call ended in each of these ways."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": name, "labels": labels}})
    runs = Runs(bed.kube, name)
    runs.upload("causes")
    runs.app("causes", "app:Causes")
    start(runs, *OWN_ENDS)
    runs.until_phase("cause", "Succeeded", "Failed", seconds=180)
    yield runs
    bed.kube.delete(f"{CORE}/namespaces/{name}")


@pytest.mark.parametrize("how", OWN_ENDS)
def test_end_of_the_tasks_own_making_is_told_and_charged_to_it(ended: Runs, how: str) -> None:
    reason, budget, exit_code, words = OWN_ENDS[how]
    status = status_of(ended, how)
    attempt = status["attempts"][-1]
    assert status["phase"] == "Failed"
    assert (attempt["reason"], attempt["budget"], attempt.get("exitCode")) == (reason, budget, exit_code), attempt
    assert words in attempt["message"]
    assert status["error"]["type"] == reason


def test_route_gets_the_same_reasons(ended: Runs) -> None:
    reasons = [reason for reason, *_ in OWN_ENDS.values()]
    assert ended.status("cause")["output"] == {"errors": reasons}


def test_describe_tells_reasons_and_charges_in_one_line(bed: Bed, ended: Runs) -> None:
    task = task_of(ended, "swells")
    assert task is not None
    shown = bed.run(bed.kubectl, "describe", "-n", ended.namespace, "apptask", task["metadata"]["name"]).stdout
    (line,) = [line for line in shown.splitlines() if "App 1/1" in line]
    assert "OOMKilled" in line


@pytest.mark.exclusive
def test_task_that_fills_its_tmp_fails_at_the_limit(bed: Bed, causes: Runs) -> None:
    bed.install("tmpSizeLimit=64Mi")
    try:
        start(causes, "fills /tmp")
        output = causes.until_phase("cause", "Succeeded", "Failed")["output"]
    finally:
        bed.install()
    assert output == {"errors": ["StorageLimitExceeded"]}
    (attempt,) = status_of(causes, "fills /tmp")["attempts"]
    assert (attempt["reason"], attempt["budget"]) == ("StorageLimitExceeded", "App"), attempt
    assert "64Mi" in attempt["message"]
    assert "tmpSizeLimit" in attempt["message"]


def test_sigterm_from_inside_the_pod_is_a_disruption(causes: Runs) -> None:
    start(causes, "stopped")
    assert_disrupted(causes, "stopped", "Terminated")


# What the cluster does to a pod


def test_evicted_pod_is_replaced_at_the_clusters_charge(causes: Runs) -> None:
    start(causes, "works")
    pod = until_at_work(causes, "works")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    causes.kube.create(f"{causes.core}/pods/{pod}/eviction", eviction)
    assert_disrupted(causes, "works", "Evicted")


def test_a_pod_deleted_by_hand_is_a_disruption(causes: Runs) -> None:
    start(causes, "works")
    causes.kube.delete(f"{causes.core}/pods/{until_at_work(causes, 'works')}")
    assert_disrupted(causes, "works", "PodDeleted")


@pytest.mark.exclusive
@needs_own_cluster
def test_drained_node_has_its_tasks_go_on_elsewhere(bed: Bed, causes: Runs) -> None:
    start(causes, "works")
    pod = causes.kube.get(f"{causes.core}/pods/{until_at_work(causes, 'works')}")
    node = pod["spec"]["nodeName"]
    chosen = ("--pod-selector=apprun.dev/role=task", "--ignore-daemonsets", "--delete-emptydir-data")
    try:
        bed.run(bed.kubectl, "drain", node, *chosen, "--timeout=60s")
        attempt = assert_disrupted(causes, "works", "Evicted")
    finally:
        bed.run(bed.kubectl, "uncordon", node)
    assert attempt["node"] == node
    assert causes.checkpoints("cause")[0]["node"] != node


@pytest.mark.exclusive
@needs_own_cluster
def test_preempted_pod_is_replaced_when_there_is_room_again(causes: Runs) -> None:
    name = f"urgent-{causes.namespace}"
    causes.kube.create(PRIORITIES, {"metadata": {"name": name}, "value": 1000})
    try:
        start(causes, "needs most of node1")
        until_at_work(causes, "needs most of node1")
        causes.kube.create(f"{causes.core}/pods", urgent_pod(name))
        eventually("the attempt ended", lambda: status_of(causes, "needs most of node1").get("attempts"))
        assert "Insufficient cpu" in until_waiting(causes, "needs most of node1", "Unschedulable")
        causes.kube.delete(f"{causes.core}/pods/urgent", gracePeriodSeconds=0)
        assert causes.until_phase("cause", "Succeeded", "Failed")["phase"] == "Succeeded"
        (attempt,) = status_of(causes, "needs most of node1")["attempts"]
        assert (attempt["reason"], attempt["budget"]) == ("Preempted", "Disruption")
    finally:
        causes.kube.delete(f"{PRIORITIES}/{name}")


def urgent_pod(priority: str) -> Object:
    """A pod that takes most of node1, whoever is there."""
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": "localhost/apprun-pause:1",
        "resources": {"requests": {"cpu": "1100m"}},
        "securityContext": {**confined, "runAsNonRoot": True, "runAsUser": 65532},
    }
    spec = {
        "priorityClassName": priority,
        "nodeSelector": {"kubernetes.io/hostname": "node1"},
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {"metadata": {"name": "urgent"}, "spec": spec}


@pytest.mark.exclusive
@needs_own_cluster
def test_node_that_reboots_costs_one_disruption(bed: Bed, causes: Runs) -> None:
    bed.install("nodeLostGraceSeconds=120")
    try:
        start(causes, "works on node1")
        until_at_work(causes, "works on node1")
        bed.cli("kill-node", "node1")
        bed.cli("start-node", "node1")
        assert_disrupted(causes, "works on node1", "NodeRebooted")
    finally:
        bed.cli("up")
        bed.install()


# What keeps a pod from starting


def test_task_that_fits_no_node_waits_with_the_schedulers_words(causes: Runs) -> None:
    start(causes, "no room")
    assert "Insufficient cpu" in until_waiting(causes, "no room", "Unschedulable")
    assert "attempts" not in status_of(causes, "no room")


def test_quota_is_waited_for_and_charged_to_nobody(causes: Runs) -> None:
    quotas = f"{causes.core}/resourcequotas"
    causes.kube.create(quotas, {"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}})
    start(causes, "works")
    assert "exceeded quota" in until_waiting(causes, "works", "QuotaExceeded")
    causes.kube.delete(f"{quotas}/one")
    assert causes.until_phase("cause", "Succeeded", "Failed")["output"] == {"errors": [""]}
    assert "attempts" not in status_of(causes, "works")


def let_the_code_name(causes: Runs, account: str) -> None:
    """Drivers of the namespace may name this service account in their calls."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{causes.namespace}"
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": [account], "verbs": ["use"]}
    causes.kube.create(f"{rbac}/roles", {"metadata": {"name": "use"}, "rules": [rule]})
    causes.kube.create(
        f"{rbac}/rolebindings",
        {
            "metadata": {"name": "use"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "use"},
            "subjects": [{"kind": "ServiceAccount", "name": "apprun-driver", "namespace": causes.namespace}],
        },
    )


def test_a_late_service_account_is_charged_to_nobody(causes: Runs) -> None:
    let_the_code_name(causes, "nobody")
    start(causes, "no account")
    assert '"nobody" not found' in until_waiting(causes, "no account", "ServiceAccountNotFound")
    causes.kube.create(f"{causes.core}/serviceaccounts", {"metadata": {"name": "nobody"}})
    assert causes.until_phase("cause", "Succeeded", "Failed")["output"] == {"errors": [""]}
    assert "attempts" not in status_of(causes, "no account")


def test_account_that_the_code_may_not_name_fails_the_run(causes: Runs) -> None:
    start(causes, "no account")
    error = causes.until_phase("cause", "Failed", "Succeeded", "Stalled")["error"]
    assert (error["type"], "apprun: not a task's service account: @task" in error["message"]) == ("Invalid", True)
    assert "kubectl create rolebinding" in error["message"]


def test_a_task_above_the_limit_range_fails_at_once(causes: Runs) -> None:
    limits = [{"type": "Container", "max": {"memory": "256Mi"}}]
    causes.kube.create(f"{causes.core}/limitranges", {"metadata": {"name": "small"}, "spec": {"limits": limits}})
    start(causes, "large")
    assert causes.until_phase("cause", "Succeeded", "Failed")["output"] == {"errors": ["PodForbidden"]}
    assert "maximum memory usage per Container is 256Mi" in status_of(causes, "large")["error"]["message"]


@pytest.fixture
def registry(bed: Bed) -> Iterator[None]:
    with registry_on(bed, "node1"), registry_on(bed, "node2"):
        yield


@needs_own_cluster
@pytest.mark.usefixtures("registry")
def test_an_image_that_cannot_be_pulled_fails_the_task(causes: Runs) -> None:
    start(causes, "absent", "denied")
    assert "localhost:5000/absent:1" in until_waiting(causes, "absent", "ImagePullFailed")
    assert causes.until_phase("cause", "Succeeded", "Failed")["output"] == {"errors": ["ImagePullFailed"] * 2}
    assert "not found" in status_of(causes, "absent")["error"]["message"]
    assert "403" in status_of(causes, "denied")["error"]["message"]


@needs_own_cluster
@pytest.mark.usefixtures("registry")
def test_image_that_comes_slowly_is_waited_for(causes: Runs) -> None:
    start(causes, "waits for its image", "works")
    causes.until_committed("cause", 1)
    status = status_of(causes, "waits for its image")
    assert status["phase"] in ("Active", "Waiting")
    assert "attempts" not in status


def test_registry_that_is_away_is_waited_for(causes: Runs) -> None:
    start(causes, "absent")
    words = until_waiting(causes, "absent", "ImagePullFailed")
    assert "localhost:5000/absent:1" in words


@needs_own_cluster
def test_webhook_that_refuses_or_is_away_is_told_with_its_words(bed: Bed, causes: Runs, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    port = 9443
    configure_webhook(causes, as_bundle(certificate), port)
    try:
        start(causes, "works")
        words = until_waiting(causes, "works", "AdmissionUnavailable")
        assert "failed calling webhook" in words
        assert "attempts" not in status_of(causes, "works")
        with webhook(bed, certificate, key, port):
            status = causes.until_phase("cause", "Succeeded", "Failed", seconds=180)
        assert status["output"] == {"errors": ["PodForbidden"]}
        assert "no pods on Fridays" in status_of(causes, "works")["error"]["message"]
    finally:
        causes.kube.delete(f"{WEBHOOKS}/{causes.namespace}")


def configure_webhook(causes: Runs, bundle: str, port: int) -> None:
    hook: dict[str, Any] = {
        "name": "fridays.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 3,
        "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": causes.namespace}},
        "objectSelector": {"matchLabels": {"apprun.dev/role": "task"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    causes.kube.create(WEBHOOKS, {"metadata": {"name": causes.namespace}, "webhooks": [hook]})


# What stalls a run


def test_a_bad_driver_image_stalls_the_run_until_mended(causes: Runs) -> None:
    causes.app("broken", "app:Causes", source=source("causes"), image="localhost/apprun-pause:1")
    causes.start("cause", "broken", {"calls": []})
    status = causes.until_phase("cause", "Stalled", "Failed")
    condition = causes.condition("cause", "Stalled")
    assert condition is not None
    assert (status["phase"], condition["reason"]) == ("Stalled", "ContainerNotStarted")
    assert "python3" in condition["message"]
    causes.kube.merge(f"{causes.api}/apps/broken", {"spec": {"image": None}})
    assert causes.until_phase("cause", "Succeeded", "Failed")["phase"] == "Succeeded"


def test_run_that_stalls_tells_of_it_in_one_event(causes: Runs) -> None:
    causes.app("wrong", "nowhere:Causes", source=source("causes"))
    causes.start("cause", "wrong", {"calls": []})
    causes.until_phase("cause", "Stalled")

    def told() -> list[Object] | None:
        events = causes.kube.items(f"/apis/events.k8s.io/v1/namespaces/{causes.namespace}/events")
        return [event for event in events if event["regarding"]["kind"] == "AppRun"] or None

    (event,) = eventually("the run's Event is there", told)
    assert (event["reason"], event["type"]) == ("LoadFailed", "Warning")
    assert event["regarding"]["uid"] == causes.get("cause")["metadata"]["uid"]
    assert "nowhere" in event["note"]


def test_an_unknown_priority_class_stalls_the_run(causes: Runs) -> None:
    causes.app("urgent", "app:Causes", source=source("causes"), pod={"priorityClassName": "no-such-class"})
    causes.start("cause", "urgent", {"calls": []})
    causes.until_phase("cause", "Stalled")
    assert "no-such-class" in causes.status("cause")["message"]


@pytest.mark.exclusive
@needs_own_cluster
def test_a_deleted_committed_task_stalls_the_run(bed: Bed, causes: Runs) -> None:
    binding = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/apprun-task-protection"
    causes.start("kept", "probe", {"before": 1, "width": 1, "after": 1, "seconds": 15})
    (entry,) = causes.until_committed("kept", 1)
    task = f"{causes.api}/apptasks/kept-{entry['key'][:16]}"
    with pytest.raises(ApiError, match="can't be deleted"):
        causes.kube.request("DELETE", task)
    causes.kube.delete(binding)
    try:

        def deleted() -> bool | None:
            causes.kube.request("DELETE", task)
            return True

        eventually("the deletion isn't refused any more", deleted)
    finally:
        bed.install()
    causes.until_phase("kept", "Stalled")
    condition = causes.condition("kept", "Stalled")
    assert condition is not None
    assert condition["reason"] == "LedgerUnreadable"
    assert task.rpartition("/")[2] in condition["message"]
    assert causes.witnesses()[entry["key"]] == 1
    causes.kube.merge(f"{causes.api}/appruns/kept", {"spec": {"cancel": True}})
    assert causes.until_phase("kept", "Cancelled", "Failed")["phase"] == "Cancelled"
    assert causes.witnesses()[entry["key"]] == 1
