"""One sample of a cluster: what each open call waits for, who leads, how the operator and the nodes are.

A sample costs the API server little, whatever the runs hold: of runs and tasks it asks for the table that `kubectl get`
prints, and of tasks only where runs are open. Everything comes out of the watch cache (resourceVersion=0).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime

import urllib3
from hack.restarts import SELECTOR, OperatorPod, operator_pods
from tests.support.kube import APPRUN, CORE, ApiError, Kube, Object
from tests.support.recorder.states import (
    ENDS,
    State,
    call_state,
    leaving,
    metrics_state,
    node_state,
    operator_state,
    pod_state,
    run_state,
    short,
    stepped,
)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
CACHED = "resourceVersion=0"
TIMEOUT = urllib3.Timeout(connect=2, read=8)
METRICS_TIMEOUT = urllib3.Timeout(connect=1, read=2)
METRICS_EVERY = 3
"""Samples from one reading of `/metrics` to the next: the operator's own loop has to answer it."""
UNANSWERED = (urllib3.exceptions.HTTPError, ApiError, OSError)


@dataclass(frozen=True)
class Sample:
    """All of it at `at`, in seconds since the epoch. `operators` is None where the API server didn't say."""

    at: float
    state: State
    operators: list[OperatorPod] | None


@dataclass
class Sampler:
    """Reads one cluster, again and again."""

    kube: Kube
    lease: str
    """Path of the operator's Lease."""
    _state: State = field(default_factory=dict)
    _buckets: dict[str, dict[float, float]] = field(default_factory=dict)
    _samples: int = 0

    def sample(self) -> Sample:
        """What doesn't answer is marked as such, and what was known before stays."""
        at = time.time()
        try:
            state, operators = self._read()
        except UNANSWERED as error:
            self._state = {
                **self._state,
                "api": {"answers": False, "error": short(f"{type(error).__name__}: {error}")},
            }
            return Sample(at, self._state, None)
        self._state = {"api": {"answers": True}, **state}
        return Sample(at, self._state, operators)

    def _read(self) -> tuple[State, list[OperatorPod]]:
        pods = self._get(f"{CORE}/pods?labelSelector={SELECTOR}&{CACHED}")["items"]
        operators = operator_pods(pods)
        state: State = {f"operator {pod.name}": operator_state(pod) for pod in operators}
        state["lease"] = self._lease()
        nodes = self._get(f"{CORE}/nodes?{CACHED}")["items"]
        state |= {f"node {node['metadata']['name']}": node_state(node) for node in nodes}
        runs = _rows(self._get(f"{APPRUN}/appruns?{CACHED}", TABLE))
        state |= {f"run {row['namespace']}/{row['name']}": run_state(row) for row in runs}
        open_in = sorted({row["namespace"] for row in runs if row.get("Phase") not in ENDS})
        for namespace in open_in:
            path = f"{APPRUN}/namespaces/{namespace}/apptasks?{CACHED}&includeObject=None"
            calls = [row for row in _rows(self._get(path, TABLE)) if row.get("Phase") not in ENDS]
            state |= {f"call {namespace}/{row['Name']}": call_state(row) for row in calls}
            path = f"{CORE}/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/managed-by=apprun&{CACHED}"
            for pod in self._get(path)["items"]:
                if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") or leaving(pod):
                    state[f"pod {namespace}/{pod['metadata']['name']}"] = pod_state(pod)
        state |= self._metrics(operators)
        return state, operators

    def _lease(self) -> Object:
        try:
            spec = self._get(self.lease)["spec"]
        except ApiError as error:
            if error.code != 404:
                raise
            return {"holder": ""}
        renewed = spec.get("renewTime")
        age = 0.0 if renewed is None else time.time() - datetime.fromisoformat(renewed).timestamp()
        return {
            "holder": spec.get("holderIdentity", ""),
            "transitions": spec.get("leaseTransitions", 0),
            "renewed": stepped(age),
        }

    def _metrics(self, operators: list[OperatorPod]) -> State:
        self._samples += 1
        if self._samples % METRICS_EVERY != 1:
            return {key: value for key, value in self._state.items() if key.startswith("metrics ")}
        state: State = {}
        for pod in operators:
            path = f"{CORE}/namespaces/{pod.namespace}/pods/{pod.name}:8080/proxy/metrics"
            try:
                text = self._ask(path, "text/plain", METRICS_TIMEOUT)
            except UNANSWERED as error:
                state[f"metrics {pod.name}"] = {"error": short(f"{type(error).__name__}: {error}")}
            else:
                now, lag = metrics_state(text, self._buckets.get(pod.uid))
                state[f"metrics {pod.name}"], self._buckets[pod.uid] = now, lag
        return state

    def _get(self, path: str, accept: str = "application/json") -> Object:
        try:
            document: Object = json.loads(self._ask(path, accept, TIMEOUT))
        except RecursionError as error:
            # Tests make objects on purpose that no decoder of Python's takes. While one is there, nothing is sampled.
            raise ApiError(200, "an object nests too deep to be decoded") from error
        return document

    def _ask(self, path: str, accept: str, timeout: urllib3.Timeout) -> str:
        headers = {**self.kube.headers, "Accept": accept}
        answer = self.kube.pool.request("GET", self.kube.server + path, headers=headers, timeout=timeout)
        text = answer.data.decode()
        if answer.status >= 300:
            raise ApiError(answer.status, text)
        return text


def _rows(table: Object) -> list[Object]:
    """A table's rows by the names of their columns, with `name` and `namespace` of the object where it is included."""
    names = [column["name"] for column in table["columnDefinitions"]]
    rows = []
    for row in table["rows"]:
        metadata = (row.get("object") or {}).get("metadata", {})
        identity = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
        rows.append({**dict(zip(names, row["cells"], strict=True)), **identity})
    return rows
