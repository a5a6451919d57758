"""What a task asks of its pod, on a real cluster: what the pod has then, and how long one waits that can't have it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import private_registry
from tests.support.bed import EXISTING, RUNTIME_IMAGE, Bed
from tests.support.injection import injecting
from tests.support.kube import CORE, Object, eventually
from tests.support.runs import Runs

GPU = "nvidia.com/gpu"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
GATE = {"name": "kueue.x-k8s.io/admission"}
needs_own_cluster = pytest.mark.skipif(EXISTING, reason="nodes of an existing cluster are not ours to meddle with")


@pytest.fixture
def shaped(runs: Runs) -> Runs:
    """The namespace with the app `shaped`, and what its tasks name."""
    runs.upload("shaped")
    runs.app("shaped", "app:Shaped")
    create(runs, "configmaps", "settings", data={"url": "https://example.test"})
    create(runs, "secrets", "token", stringData={"token": "s3cr3t"})
    return runs


def create(runs: Runs, kind: str, name: str, **fields: Any) -> None:
    runs.kube.create(f"{runs.core}/{kind}", {"metadata": {"name": name}, **fields})


def said(runs: Runs, task: str, times: int = 1) -> str:
    """What the calls of this task found in their pods."""
    name = task.replace("_", "-")
    runs.start(name, "shaped", {"task": task, "times": times})
    return output(runs, name)


def output(runs: Runs, run: str) -> str:
    status = runs.until_phase(run, "Succeeded", "Failed", "Stalled")
    assert status["phase"] == "Succeeded", status
    return str(status["output"]["text"])


def until_waiting(runs: Runs, run: str, words: str) -> Object:
    """Wait until the run's only call says these words; its AppTask."""

    def task() -> Object | None:
        return next((one for one in runs.tasks(run) if words in str(one["status"].get("message"))), None)

    return eventually(f"{run} waits: {words}", task, 90)


def pod_of(runs: Runs, run: str) -> Object:
    """The pod of the run's only call."""
    labels = f"apprun.dev/run={run},apprun.dev/role=task"
    return eventually(
        "the pod is there", lambda: next(iter(runs.kube.items(f"{runs.core}/pods?labelSelector={labels}")), None)
    )


# What is in the pod


def test_variables_come_from_maps_and_secrets(shaped: Runs) -> None:
    url = "https://example.test"
    assert said(shaped, "environment") == f"text {url} s3cr3t - {url} -"


def test_app_adds_a_variable_at_deployment(shaped: Runs) -> None:
    task = {"environment": {"env": [{"name": "DEPLOYED", "value": "later"}, {"name": "PLAIN", "value": "other"}]}}
    shaped.kube.merge(f"{shaped.api}/apps/shaped", {"spec": {"tasks": task}})
    found = said(shaped, "environment").split()
    assert (found[0], found[-1]) == ("other", "later")


def test_variable_of_a_missing_secret_is_waited_for(shaped: Runs) -> None:
    shaped.kube.delete(f"{shaped.core}/secrets/token")
    shaped.start("early", "shaped", {"task": "environment"})
    until_waiting(shaped, "early", 'secret "token" not found')
    create(shaped, "secrets", "token", stringData={"token": "late"})
    assert " late " in output(shaped, "early")
    assert [task["status"].get("attempts", []) for task in shaped.tasks("early")] == [[]]


def test_shared_memory_has_its_size(shaped: Runs) -> None:
    assert said(shaped, "shared_memory") == "96"


def test_user_group_and_hosts_are_the_task_s(shaped: Runs) -> None:
    user, *groups, address = said(shaped, "user").split()
    assert (user, address) == ("1234", "10.9.8.7")
    assert "2345" in "".join(groups)


def test_requests_and_limits_are_apart(shaped: Runs) -> None:
    name = f"shaped-{uuid.uuid4().hex[:6]}"
    shaped.kube.create(PRIORITIES, {"metadata": {"name": name}, "value": -5})
    try:
        shaped.kube.merge(f"{shaped.api}/apps/shaped", {"spec": {"tasks": {"amounts": {"priorityClassName": name}}}})
        shaped.start("amounts", "shaped", {"task": "amounts"})
        spec = pod_of(shaped, "amounts")["spec"]
        output(shaped, "amounts")
    finally:
        shaped.kube.delete(f"{PRIORITIES}/{name}")
    resources = spec["containers"][0]["resources"]
    assert {amount: resources["requests"][amount] for amount in ("cpu", "memory")} == {"cpu": "50m", "memory": "64Mi"}
    assert {amount: resources["limits"][amount] for amount in ("cpu", "memory")} == {"cpu": "500m", "memory": "192Mi"}
    assert (spec["priority"], spec["terminationGracePeriodSeconds"]) == (-5, 7)


def test_request_above_its_limit_ends_the_call(shaped: Runs) -> None:
    amounts = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    shaped.kube.merge(f"{shaped.api}/apps/shaped", {"spec": {"tasks": {"environment": amounts}}})
    shaped.start("excess", "shaped", {"task": "environment"})
    status = shaped.until_phase("excess", "Succeeded", "Failed", "Stalled")
    assert (status["phase"], "must be less than or equal to cpu limit" in str(status)) == ("Failed", True), status


# Volumes


@pytest.fixture
def claim(shaped: Runs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The claim `cache` on a folder of node1, which is one of this machine. Kubelet hands it to the pods' group."""
    name = f"cache-{uuid.uuid4().hex[:6]}"
    affinity = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}
    size = {"storage": "16Mi"}
    volume = {
        "capacity": size,
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "local": {"path": str(tmp_path_factory.mktemp("cache"))},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [affinity]}]}},
        "claimRef": {"name": "cache", "namespace": shaped.namespace},
    }
    shaped.kube.create(f"{CORE}/persistentvolumes", {"metadata": {"name": name}, "spec": volume})
    wanted = {"accessModes": ["ReadWriteOnce"], "storageClassName": name, "resources": {"requests": size}}
    create(shaped, "persistentvolumeclaims", "cache", spec={**wanted, "volumeName": name})
    yield
    shaped.kube.delete(f"{CORE}/persistentvolumes/{name}")


@needs_own_cluster
@pytest.mark.usefixtures("claim")
def test_two_tasks_share_a_claim(shaped: Runs) -> None:
    said(shaped, "writer")
    assert said(shaped, "reader") == "from the first task, https://example.test"


# Place


@pytest.fixture
def gpu(bed: Bed) -> Iterator[None]:
    """One GPU on node2, advertised as Kubernetes documents it for resources without a device plugin."""
    capacity = f"{CORE}/nodes/node2/status"
    bed.kube.merge(capacity, {"status": {"capacity": {GPU: "1"}, "allocatable": {GPU: "1"}}})
    yield
    bed.kube.merge(capacity, {"status": {"capacity": {GPU: None}, "allocatable": {GPU: None}}})


@needs_own_cluster
@pytest.mark.usefixtures("gpu")
def test_gpu_places_a_task_where_one_is(shaped: Runs) -> None:
    shaped.start("gpu", "shaped", {"task": "gpu"})
    assert pod_of(shaped, "gpu")["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"
    assert output(shaped, "gpu") == "on a node with a GPU"
    (checkpoint,) = shaped.checkpoints("gpu")
    assert checkpoint["node"] == "node2"


def test_gpu_that_nobody_has_is_waited_for(shaped: Runs) -> None:
    shaped.start("gpu", "shaped", {"task": "gpu"})
    until_waiting(shaped, "gpu", f"Insufficient {GPU}")


@needs_own_cluster
def test_calls_are_spread_over_nodes(shaped: Runs) -> None:
    assert set(said(shaped, "spread", times=2).split(" | ")) == {"node1", "node2"}


# Images


@pytest.fixture
def private_image(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The runtime's image in a registry of node1 that wants a password."""
    with private_registry.private_registry(bed, "node1", tmp_path_factory.mktemp("registry")):
        yield private_registry.push(bed, "node1", RUNTIME_IMAGE, f"team/{uuid.uuid4().hex[:6]}:1")


@needs_own_cluster
def test_private_image_is_pulled_and_pinned_by_its_secret(runs: Runs, private_image: str) -> None:
    runs.upload("shaped")
    pod = {"nodeSelector": {"kubernetes.io/hostname": "node1"}, "imagePullSecrets": [{"name": "registry"}]}
    runs.app("shaped", "app:Shaped", image=private_image, imagePullPolicy="Always", pod=pod)
    runs.start("too-early", "shaped", {"task": "shared_memory"})
    assert "401 Unauthorized" in runs.until_phase("too-early", "Stalled", "Succeeded")["message"]
    config = {".dockerconfigjson": private_registry.docker_config()}
    create(runs, "secrets", "registry", type="kubernetes.io/dockerconfigjson", stringData=config)
    runs.start("private", "shaped", {"task": "shared_memory"})
    assert output(runs, "private") == "96"
    digest = runs.status("private")["app"]["imageDigest"]
    (task,) = runs.kube.items(f"{runs.api}/apptasks?labelSelector=apprun.dev/run=private,apprun.dev/role=task")
    assert digest.startswith(f"{private_registry.HOST}/team/"), digest
    assert task["status"]["phase"] == "Succeeded"


# Queues


@pytest.fixture
def queues(shaped: Runs, bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In place of Kueue: its gate on pods that have its label. The tests take the gate away as Kueue does."""

    def gate(spec: Object, call: Object) -> None:
        if call["role"] == "task":
            spec["schedulingGates"] = [GATE]

    with injecting(bed, shaped.namespace, gate, tmp_path_factory.mktemp("queues")):
        yield


def admit(runs: Runs, pod: Object) -> None:
    runs.kube.merge(f"{runs.core}/pods/{pod['metadata']['name']}", {"spec": {"schedulingGates": None}})


@needs_own_cluster
@pytest.mark.usefixtures("queues")
def test_queued_call_waits_and_its_eviction_costs_no_retry(shaped: Runs) -> None:
    shaped.start("queued", "shaped", {"task": "queued"})
    task = until_waiting(shaped, "queued", GATE["name"])
    assert task["status"]["phase"] == "Waiting"
    first = pod_of(shaped, "queued")
    assert first["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    shaped.kube.delete(f"{shaped.core}/pods/{first['metadata']['name']}")

    def second() -> Object | None:
        pod = pod_of(shaped, "queued")
        return pod if pod["metadata"]["uid"] != first["metadata"]["uid"] else None

    admit(shaped, eventually("the call is queued again", second))
    assert output(shaped, "queued") == "admitted"
    (task,) = shaped.tasks("queued")
    assert {attempt["budget"] for attempt in task["status"]["attempts"]} == {"Disruption"}


# Refused at kubectl apply


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("spec.pod.env[0]", {"pod": {"env": [{"name": "APPRUN_TOKEN", "value": "mine"}]}}),
        ("spec.pod.runAsUser", {"pod": {"runAsUser": 0}}),
        ("spec.pod.volumes[0]", {"pod": {"volumes": [{"mountPath": "/var/run/secrets/x", "emptyDir": {}}]}}),
        ('spec.pod.volumes[mountPath="/host"]', {"pod": {"volumes": [{"mountPath": "/host", "hostPath": {}}]}}),
        ("spec.pod.labels", {"pod": {"labels": {"apprun.dev/run": "another"}}}),
        ("spec.driver.volumes[0]", {"driver": {"volumes": [{"mountPath": "/apprun", "emptyDir": {}}]}}),
    ],
)
def test_forbidden_field_is_refused_by_its_path(shaped: Runs, bed: Bed, path: str, spec: Object) -> None:
    app = shaped.kube.get(f"{shaped.api}/apps/shaped")
    app["spec"] |= spec
    refused = bed.run(
        bed.kubectl, "apply", "--server-side", "--force-conflicts", "-f", "-", check=False, stdin=text(app)
    )
    assert refused.returncode == 1, refused.stdout
    assert path in refused.stderr, refused.stderr


def text(app: Object) -> str:
    meta = {"name": app["metadata"]["name"], "namespace": app["metadata"]["namespace"]}
    return json.dumps({"apiVersion": app["apiVersion"], "kind": app["kind"], "metadata": meta, "spec": app["spec"]})
