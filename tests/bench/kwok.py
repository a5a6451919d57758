"""Nodes that pretend: kwok plays their kubelets, for thousands of pods that no machine here could run.

kwok can't report results, since it runs nothing. `StandIn` plays that part, and only that: with a token that is bound
to the pod, as its kubelet would have asked for it, it sends the patch that the SDK would have sent. So the API server
judges real reports by the real policies.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import urllib3
import yaml
from tests.support.bed import Bed
from tests.support.kube import CORE, Kube, Object, eventually
from tests.support.runs import Runs

from application_sdk.engines.kubernetes.report import success_report
from application_sdk.wire.names import CALL_ANNOTATION

NODES = 4
PODS_PER_NODE = 1000
LABEL = {"type": "kwok"}
READY = """\
conditions:
- {lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}, status: "True", type: Ready}
phase: Running
"""
RUNNING = """\
{{ $now := Now }}
conditions:
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Initialized}
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Ready}
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: ContainersReady}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  imageID: ""
  name: {{ .name | Quote }}
  ready: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
phase: Running
startTime: {{ $now | Quote }}
"""


def stage(name: str, kind: str, key: str, operator: str, then: Object) -> Object:
    """What kwok does to each object of that kind for which the expression holds."""
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {
                "matchExpressions": [
                    {"key": key, "operator": operator},
                    *(
                        [{"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}]
                        if operator != "Exists"
                        else []
                    ),
                ]
            },
            "next": then,
        },
    }


STAGES = [
    stage("node-ready", "Node", ".status.phase", "DoesNotExist", {"statusTemplate": READY}),
    stage("pod-running", "Pod", ".status.startTime", "DoesNotExist", {"statusTemplate": RUNNING}),
    stage("pod-gone", "Pod", ".metadata.deletionTimestamp", "Exists", {"finalizers": {"empty": True}, "delete": True}),
]


@contextmanager
def nodes(bed: Bed, program: Path, folder: Path) -> Iterator[None]:
    """The pretended nodes, tainted so that only pods that ask for them come."""
    stages = folder / "stages.yaml"
    stages.write_text(yaml.safe_dump_all(STAGES))
    for number in range(NODES):
        bed.kube.create(f"{CORE}/nodes", node(f"kwok{number}"))
    command = [program, "--kubeconfig", bed.kubeconfig, "--config", stages, "--node-lease-duration-seconds", "40"]
    chosen = ["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"]
    with (folder / "kwok.log").open("w") as log:
        process = subprocess.Popen([*command, *chosen], stdout=log, stderr=subprocess.STDOUT)
    try:
        eventually("the pretended nodes are ready", lambda: ready(bed.kube) == NODES or None, 60)
        yield
    finally:
        process.kill()
        process.wait()
        for number in range(NODES):
            bed.kube.delete(f"{CORE}/nodes/kwok{number}")


def node(name: str) -> Object:
    room = {"cpu": "1000", "memory": "1000Gi", "pods": str(PODS_PER_NODE)}
    return {
        "metadata": {"name": name, "labels": LABEL, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [{"key": "kwok", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }


def ready(kube: Kube) -> int:
    conditions = [node["status"].get("conditions", []) for node in kube.items(f"{CORE}/nodes?labelSelector=type=kwok")]
    return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in each) for each in conditions)


class StandIn:
    """Speaks for the pretended task pods of one run, once it is told to."""

    def __init__(self, runs: Runs, run: str) -> None:
        self._runs = runs
        self._run = run
        bare = urllib3.PoolManager(maxsize=32, ca_certs=runs.kube.pool.connection_pool_kw["ca_certs"], retries=False)
        self._nobody = Kube(runs.kube.server, bare, {})
        self._pool = ThreadPoolExecutor(16)
        self._lock = threading.Lock()
        self._held: dict[str, Object] = {}
        self._released = False
        self._over = threading.Event()
        self._seen: set[str] = set()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def live(self) -> int:
        """Pods that are held back from reporting."""
        return len(self._held)

    def release(self, most: int | None = None) -> None:
        """Have those that are held report; all, with those that come later, or only so many."""
        with self._lock:
            self._released = most is None
            now = list(self._held.values())[:most]
            for pod in now:
                del self._held[pod["metadata"]["name"]]
                self._pool.submit(self._report, pod)

    def close(self) -> None:
        self._over.set()
        self._pool.shutdown(cancel_futures=True)

    def _watch(self) -> None:
        selector = f"labelSelector=apprun.dev/run={self._run},apprun.dev/role=task"
        while not self._over.is_set():
            try:
                for event in self._runs.kube.watch(f"{self._runs.core}/pods?{selector}", seconds=120):
                    if event["type"] == "ERROR":
                        break
                    self._take(event["object"])
                    if self._over.is_set():
                        return
            except Exception as error:
                print(f"the stand-in's watch broke: {error}")
                time.sleep(1)

    def _take(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if pod.get("status", {}).get("phase") != "Running" or name in self._seen:
            return
        self._seen.add(name)
        with self._lock:
            if self._released:
                self._pool.submit(self._report, pod)
            else:
                self._held[name] = pod

    def _report(self, pod: Object) -> None:
        """As `application_sdk.engines.kubernetes.task_main` ends, by the pod's own token."""
        name, call = pod["metadata"]["name"], json.loads(pod["metadata"]["annotations"][CALL_ANNOTATION])
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3607, "boundObjectRef": bound},
        }
        account = pod["spec"]["serviceAccountName"]
        answer = self._runs.kube.create(f"{self._runs.core}/serviceaccounts/{account}/token", asked)
        own = Kube(self._nobody.server, self._nobody.pool, {"Authorization": f"Bearer {answer['status']['token']}"})
        report = success_report({"value": call["input"]["value"]}, time.time(), pod["spec"]["nodeName"])
        own.merge(f"{self._runs.api}/apptasks/{call['appTask']}/status", {"status": dict(report)})
