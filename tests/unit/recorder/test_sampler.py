"""One sample of a cluster becomes a flat state that says what everything waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3
from tests.support.kube import Kube, Object
from tests.support.recorder.sampler import Sampler
from tests.support.recorder.states import State, metrics_state, node_state, pod_state

LEASE = "/lease"
METRICS = """# HELP apprun_is_leader 1 for the replica that plans and acts, 0 for a standby.
apprun_is_leader 1.0
apprun_queue_length 7.0
apprun_watch_silence_seconds{kind="pods"} 47.5
apprun_watch_silence_seconds{kind="apps"} 3.0
apprun_loop_lag_seconds_bucket{le="0.01"} 10.0
apprun_loop_lag_seconds_bucket{le="0.25"} 11.0
apprun_loop_lag_seconds_bucket{le="1.0"} 12.0
apprun_loop_lag_seconds_bucket{le="+Inf"} 12.0
"""


def table(columns: str, *rows: list[Any], namespace: str = "") -> Object:
    def row(cells: list[Any]) -> Object:
        metadata = {"metadata": {"namespace": namespace, "name": cells[0]}} if namespace else None
        return {"cells": cells, "object": metadata}

    return {"columnDefinitions": [{"name": name} for name in columns.split()], "rows": [row(cells) for cells in rows]}


@dataclass
class Server:
    """Answers by path without the query; `dead`: nobody is there."""

    answers: dict[str, Object | str]
    dead: bool = False
    asked: list[str] = field(default_factory=list)

    def request(self, method: str, url: str, headers: Mapping[str, str], timeout: object) -> Any:
        self.asked.append(url)
        if self.dead:
            raise urllib3.exceptions.MaxRetryError(None, url, None)  # type: ignore[arg-type]
        found = self.answers.get(url.partition("?")[0])
        text = found if isinstance(found, str) else json.dumps(found or {"message": "not found"})
        return type("Answer", (), {"status": 404 if found is None else 200, "data": text.encode()})


def operator() -> Object:
    metadata = {"namespace": "system", "name": "apprun-a", "uid": "a"}
    container = {"name": "operator", "restartCount": 2}
    return {"metadata": metadata, "spec": {"nodeName": "node1"}, "status": {"containerStatuses": [container]}}


def server() -> Server:
    runs = "Name Phase Reason Done Tasks Message"
    api = "/apis/apprun.dev/v1alpha1"
    return Server(
        {
            "/api/v1/pods": {"items": [operator()]},
            "/api/v1/nodes": {"items": [{"metadata": {"name": "node1"}, "spec": {}, "status": {"conditions": []}}]},
            LEASE: {"spec": {"holderIdentity": "apprun-a", "leaseTransitions": 4}},
            f"{api}/appruns": table(
                runs,
                ["r", "Running", "Progressing", 3, 5, ""],
                ["done", "Succeeded", "Succeeded", 5, 5, ""],
                namespace="ns",
            ),
            f"{api}/namespaces/ns/apptasks": table(
                "Name Task Phase Attempt Message",
                ["r-abc", "greet", "Waiting", 2, "no node fits"],
                ["r-def", "greet", "Succeeded", 1, ""],
            ),
            "/api/v1/namespaces/ns/pods": {"items": [{"metadata": {"name": "r-abc-2"}, "spec": {}, "status": {}}]},
            "/api/v1/namespaces/system/pods/apprun-a:8080/proxy/metrics": METRICS,
        }
    )


def sampler(server: Server) -> Sampler:
    return Sampler(Kube("", server, {}), LEASE)  # type: ignore[arg-type]


def test_sample_holds_what_is_open_and_who_leads() -> None:
    sample = sampler(server()).sample()
    assert sample.state["run ns/r"] == {"phase": "Running", "reason": "Progressing", "done": 3, "total": 5}
    assert sample.state["call ns/r-abc"] == {
        "task": "greet", "phase": "Waiting", "attempt": 2, "message": "no node fits",
    }  # fmt: skip
    assert "call ns/r-def" not in sample.state
    assert sample.state["pod ns/r-abc-2"] == {"leaving": False}
    assert sample.state["lease"] == {"holder": "apprun-a", "transitions": 4, "renewed": 0}
    assert sample.state["operator apprun-a"]["restarts"] == 2
    assert sample.state["api"] == {"answers": True}
    assert [pod.name for pod in sample.operators or []] == ["apprun-a"]


def test_api_server_that_is_away_is_told_and_the_rest_stays() -> None:
    found = server()
    watcher = sampler(found)
    before = watcher.sample().state
    found.dead = True
    sample = watcher.sample()
    assert sample.operators is None
    assert sample.state["api"]["answers"] is False
    assert {**sample.state, "api": {}} == {**before, "api": {}}


def test_object_too_deep_to_be_decoded_is_told() -> None:
    found = server()
    found.answers[LEASE] = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert "too deep" in sampler(found).sample().state["api"]["error"]


def test_lease_that_is_gone_has_no_holder() -> None:
    found = server()
    del found.answers[LEASE]
    assert sampler(found).sample().state["lease"] == {"holder": ""}


def test_operator_whose_metrics_do_not_answer_is_told() -> None:
    found = server()
    del found.answers["/api/v1/namespaces/system/pods/apprun-a:8080/proxy/metrics"]
    assert "404" in sampler(found).sample().state["metrics apprun-a"]["error"]


def test_metrics_are_read_less_often_than_the_rest() -> None:
    found = server()
    watcher = sampler(found)
    states: list[State] = [watcher.sample().state for _ in range(4)]
    assert sum("metrics" in path for path in found.asked) == 2
    assert all(state["metrics apprun-a"]["leads"] for state in states)


def test_metrics_tell_silent_watches_and_the_loops_worst_lag() -> None:
    state, buckets = metrics_state(METRICS, None)
    assert state == {"leads": True, "queue": 7, "silent": {"pods": 40}, "lag": "over 0.25 s"}
    quiet, _ = metrics_state(METRICS, buckets)
    assert "lag" not in quiet


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            {"phase": "Pending", "conditions": [UNSCHEDULABLE]},
            {"phase": "Pending", "unmet": ["PodScheduled: Unschedulable: 0/2 nodes"]},
        ),
        (
            {
                "containerStatuses": [
                    {"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}
                ]
            },
            {"containers": ["main waiting: ErrImagePull no"]},
        ),
        (
            {"initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]},
            {"containers": ["init terminated 1: Error"]},
        ),
        ({"phase": "Running", "containerStatuses": [{"name": "m", "state": {"running": {}}}]}, {"phase": "Running"}),
    ],
    ids=["unschedulable", "image", "init container", "running"],
)
def test_pod_says_what_it_waits_for(status: Object, told: Object) -> None:
    assert pod_state({"metadata": {}, "spec": {}, "status": status}) == {"leaving": False, **told}


def test_pod_that_is_held_back_and_going_says_so() -> None:
    pod = {"metadata": {"deletionTimestamp": "now"}, "spec": {"schedulingGates": [{"name": "kueue"}]}}
    assert pod_state(pod) == {"leaving": True, "gates": ["kueue"]}


def test_node_says_why_it_is_not_ready() -> None:
    lost = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]
    assert node_state({"spec": {}, "status": {"conditions": lost}}) == {"ready": False, "reason": "NodeStatusUnknown"}
