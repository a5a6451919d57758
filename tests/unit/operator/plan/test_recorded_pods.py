"""Pods as a real cluster (Kubernetes 1.34, containerd) showed them when their attempt had ended or couldn't start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.records import LIMITS

from apprun_operator.observe import parse_pod
from apprun_operator.plan.call.pod_status import PodBlocked, PodEnded, PodHealthy, of_pod

PODS: dict[str, Any] = json.loads((Path(__file__).parent / "recorded_pods.json").read_text())

ENDS = {
    "no heartbeat": ("HeartbeatLost", "App", 1),
    "segmentation fault": ("ProcessDied", "App", 139),
    "exit code 3": ("ProcessDied", "App", 3),
    "exit code 0 without a report": ("NoReport", "App", 0),
    "no such program in the image": ("ContainerNotStarted", "App", 128),
    "out of memory": ("OOMKilled", "App", 137),
    "stopped from inside": ("Terminated", "Disruption", 143),
    "preempted": ("Preempted", "Disruption", 143),
    "evicted through the API": ("Evicted", "Disruption", 143),
    "lost with its node": ("NodeLost", "Disruption", None),
    "node rebooted": ("NodeRebooted", "Disruption", 255),
    "deleted by a person": ("PodDeleted", "Disruption", 143),
    "deleted while its image was pulled": ("PodDeleted", "Disruption", 137),
    "exit code 7 beside a proxy": ("ProcessDied", "App", 7),
    "exit code 7 beside a missing image": ("ProcessDied", "App", 7),
    "no such program beside a proxy": ("ContainerNotStarted", "App", 128),
}
HOLDS = {
    "image that the registry hasn't": ("ImagePullFailed", True, "not found"),
    "image that the registry doesn't give": ("ImagePullFailed", True, "403 Forbidden"),
    "image that comes slowly": ("ImagePullFailed", False, "localhost:5000/slow:1"),
    "image name that is none": ("ImagePullFailed", True, "must be lowercase"),
    "no node with room": ("Unschedulable", False, "2 Insufficient cpu"),
    "init container that fails": ("InitContainerFailed", False, "'migrate' ended with exit code 3: no such table"),
    "init container without an image": ("InitContainerFailed", False, "localhost:5000/missing:1"),
    "native sidecar that fails": ("InitContainerFailed", False, "'a-proxy' ended with exit code 3: no such table"),
    "gated": ("SchedulingGated", False, "queue.example.com/admission"),
}
AT_WORK = "at work beside a missing image"


def test_each_recorded_pod_has_its_reading() -> None:
    assert PODS.keys() == ENDS.keys() | HOLDS.keys() | {AT_WORK}


@pytest.mark.parametrize("name", ENDS)
def test_end_as_recorded(name: str) -> None:
    pod = parse_pod.pod(PODS[name])
    reading = of_pod(pod, pod.meta.created + 60, LIMITS)
    assert isinstance(reading, PodEnded)
    assert (reading.reason, reading.budget, reading.exit_code) == ENDS[name]


@pytest.mark.parametrize("name", HOLDS)
def test_wait_as_recorded(name: str) -> None:
    pod = parse_pod.pod(PODS[name])
    reading = of_pod(pod, pod.meta.created + 60, LIMITS)
    assert isinstance(reading, PodBlocked)
    reason, permanent, words = HOLDS[name]
    assert (reading.reason, reading.permanent) == (reason, permanent)
    assert words in reading.message


def test_pod_at_work_as_recorded() -> None:
    pod = parse_pod.pod(PODS[AT_WORK])
    assert (pod.phase, pod.running, pod.healthy) == ("Pending", True, True)
    assert of_pod(pod, pod.meta.created + LIMITS.pending_timeout, LIMITS) == PodHealthy()
