"""The local cluster keeps its own promises: it mends itself, its faults are real, and it leaves nothing.

One cluster, called ``bedtest``, serves all tests but the last; each leaves it healthy for the next one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster_bed.host import snapshot

NAME = "bedtest"
IMAGE = "localhost/apprun-runtime:dev"
ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / "hack" / "cluster" / "cluster"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# Prints who it is for the API server, asked through the Service's address with the pod's own token.
PROBE = """\
import json, os, ssl, urllib.request
home = "/var/run/secrets/kubernetes.io/serviceaccount"
address = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
request = urllib.request.Request(
    f"{address}/apis/authentication.k8s.io/v1/selfsubjectreviews",
    json.dumps(review).encode(),
    {"Authorization": "Bearer " + open(f"{home}/token").read(), "Content-Type": "application/json"},
)
answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{home}/ca.crt"))
print(json.load(answer)["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"][0])
"""


def cli(*arguments: str, name: str = NAME) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(CLI), arguments[0], "--name", name, "-o", "json", *arguments[1:]],
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    folder = subprocess.check_output([sys.executable, str(CLI), "binaries"], text=True).strip()
    kubeconfig = subprocess.check_output([sys.executable, str(CLI), "kubeconfig", "--name", NAME], text=True).strip()
    done = subprocess.run(
        [f"{folder}/kubectl", *arguments],
        env={**os.environ, "KUBECONFIG": kubeconfig},
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout


def pod(name: str, node: int, *command: str) -> str:
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        for key in ("not-ready", "unreachable")
    ]
    spec = {
        "nodeName": f"node{node}",
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "tolerations": tolerations,
        "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": list(command)}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Waits for a condition; returns the time at which it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return time.time()


def is_ready(number: int) -> bool:
    return any(node["name"] == f"node{number}" and node["ready"] for node in cli("status")["nodes"])


def init_of(machine: str) -> int:
    """The innermost process that runs the machine's init."""
    pattern = f"machine_init.py /var/lib/apprun-cluster/{NAME}/{machine}/machine.json"
    return int(subprocess.check_output(["pgrep", "--newest", "--full", pattern], text=True))


@pytest.fixture(scope="module")
def bed() -> Iterator[None]:
    cli("up")
    for command in (["build-image", "--target", "runtime", "--tag", IMAGE], ["load", "--name", NAME, IMAGE]):
        subprocess.run([sys.executable, str(CLI), *command], stdout=sys.stderr, check=True)
    yield
    cli("down")


@pytest.fixture
def healthy(bed: None) -> Iterator[None]:
    yield
    cli("up")
    kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")


def test_a_second_up_changes_nothing(healthy: None) -> None:
    assert cli("up")["changed"] is False


def test_a_pod_on_each_node_reaches_the_api_server_as_itself(healthy: None) -> None:
    for number in (1, 2):
        kubectl("apply", "-f-", stdin=pod(f"probe{number}", number, "python3", "-c", PROBE))
    for number in (1, 2):
        kubectl("wait", f"pod/probe{number}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        assert kubectl("logs", f"probe{number}").strip() == f"probe{number}"


def test_a_killed_node_is_noticed_and_comes_back_without_its_pods(healthy: None) -> None:
    kubectl("apply", "-f-", stdin=pod("victim", 2, "sleep", "600"))
    kubectl("wait", "pod/victim", "--for=condition=Ready", "--timeout=60s")
    dead = cli("kill-node", "2")["dead_at"]
    noticed = until(lambda: not is_ready(2), 30, "node2 is called not ready")
    assert noticed - dead > 2, "a lost node has to be waited for"
    until(
        lambda: bool(kubectl("get", "pod", "victim", "-o=jsonpath={.metadata.deletionTimestamp}")), 20, "pod is evicted"
    )
    cli("start-node", "2")
    assert is_ready(2)
    kubectl("wait", "pod/victim", "--for=delete", "--timeout=60s")


def test_a_cut_node_keeps_its_pods_until_it_is_healed(healthy: None) -> None:
    kubectl("apply", "-f-", stdin=pod("zombie", 2, "sleep", "601"))
    kubectl("wait", "pod/zombie", "--for=condition=Ready", "--timeout=60s")
    cli("cut-node", "2")
    until(lambda: not is_ready(2), 30, "node2 is called not ready")
    assert subprocess.run(["pgrep", "--full", "--exact", "sleep 601"], check=False).returncode == 0, (
        "the zombie must live"
    )
    cli("heal-node", "2")
    until(lambda: is_ready(2), 30, "node2 is ready")
    kubectl("wait", "pod/zombie", "--for=delete", "--timeout=60s")


@pytest.mark.parametrize("service", ["apiserver", "etcd"])
def test_a_killed_service_stays_down_as_long_as_asked_and_comes_back(healthy: None, service: str) -> None:
    kubectl("create", "configmap", f"kept-{service}")
    times = cli(f"kill-{service}", "--down-seconds", "2")
    assert times["started_at"] - times["dead_at"] >= 2
    assert kubectl("get", "configmap", f"kept-{service}", "-o=name").strip() == f"configmap/kept-{service}"


@pytest.mark.parametrize("machine", ["cp", "node1"])
def test_up_mends_a_machine_that_died(healthy: None, machine: str) -> None:
    os.kill(init_of(machine), signal.SIGKILL)
    until(lambda: not cli("status")["healthy"], 20, "the loss shows")
    assert cli("up")["changed"] is True
    assert cli("status")["healthy"] is True


def test_up_mends_what_a_reboot_leaves(healthy: None) -> None:
    kubectl("create", "configmap", "kept")
    for machine in ("cp", "node1", "node2"):
        os.kill(init_of(machine), signal.SIGKILL)
        subprocess.run(["umount", f"/run/netns/{NAME}-{machine}"], check=True)  # leaves a plain file, as a crash does
    cli("up")
    assert kubectl("get", "configmap", "kept", "-o=name").strip() == "configmap/kept"
    assert cli("status")["healthy"] is True


def test_a_running_cluster_grows(healthy: None) -> None:
    cli("up", "--nodes", "3")
    assert [node["ready"] for node in cli("status")["nodes"]] == [True, True, True]


def test_down_leaves_the_host_as_it_was() -> None:
    name = "bedgone"
    before = snapshot(name)
    cli("up", "--nodes", "1", name=name)
    assert snapshot(name) != before, "the snapshot must see a cluster"
    assert cli("down", name=name) == {"name": name, "existed": True, "left": []}
    after = snapshot(name)
    assert {key for key in after.keys() | before.keys() if after.get(key) != before.get(key)} == set()
    assert cli("down", name=name)["existed"] is False
