"""The cause table: what ended an attempt, and on whose account it goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, a_pod, a_task, meta

from application_sdk.wire.containers import Blocker
from apprun_operator.observe.pods import Rejection
from apprun_operator.plan.call.pod_status import PodBlocked, PodEnded, PodHealthy, of_pod, of_rejection, of_report

WATCHDOG_DUMP = """Timeout (0:00:05)!
Thread 0x00007f3a1c2d4740 (most recent call first):
  File "/apprun/source/app.py", line 12 in work
  File "/usr/lib/python3.11/asyncio/runners.py", line 190 in run
"""
TRACEBACK = """Traceback (most recent call last):
  File "/apprun/source/app.py", line 12, in work
    raise SystemExit(1)
"""

FAILED_INIT = Blocker("migrate", sidecar=False, exit_code=3, exit_message="connecting\nno such table")

ENDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("exception exit", {"phase": "Failed", "exit_code": 1, "exit_reason": "Error"}, "ProcessDied", "App"),
    ("exit 0 without a report", {"phase": "Succeeded", "exit_code": 0}, "NoReport", "App"),
    ("out of memory", {"phase": "Failed", "exit_code": 137, "exit_reason": "OOMKilled"}, "OOMKilled", "App"),
    ("killed by a signal", {"phase": "Failed", "exit_code": 139, "exit_reason": "Error"}, "ProcessDied", "App"),
    ("pod deadline", {"phase": "Failed", "reason": "DeadlineExceeded"}, "TimedOut", "App"),
    ("node rebooted", {"phase": "Failed", "exit_code": 255, "exit_reason": "Unknown"}, "NodeRebooted", "Disruption"),
    ("an honest exit 255", {"phase": "Failed", "exit_code": 255, "exit_reason": "Error"}, "ProcessDied", "App"),
    ("lost track", {"phase": "Failed", "exit_reason": "ContainerStatusUnknown"}, "NodeLost", "Disruption"),
    ("evicted for resources", {"phase": "Failed", "reason": "Evicted"}, "Evicted", "Disruption"),
    ("node shut down", {"phase": "Failed", "reason": "Terminated"}, "Terminated", "Disruption"),
    ("no CPU on arrival", {"phase": "Failed", "reason": "OutOfcpu"}, "OutOfcpu", "Disruption"),
    ("node lost", {"disruption": "DeletionByTaintManager", "deletion_at": NOW + 30}, "NodeLost", "Disruption"),
    ("drained", {"disruption": "EvictionByEvictionAPI", "gone": True}, "Evicted", "Disruption"),
    ("preempted", {"disruption": "PreemptionByScheduler", "gone": True}, "Preempted", "Disruption"),
    ("pod collected", {"disruption": "DeletionByPodGC", "gone": True}, "NodeLost", "Disruption"),
    ("ended by kubelet", {"disruption": "TerminationByKubelet", "phase": "Failed"}, "TerminatedByNode", "Disruption"),
    ("deleted by hand", {"gone": True}, "PodDeleted", "Disruption"),
    ("deleted, exited at once", {"gone": True, "deletion_at": NOW, "exit_code": 143}, "PodDeleted", "Disruption"),
    ("stuck terminating", {"deletion_at": NOW - 6}, "PodDeleted", "Disruption"),
    ("drained, killed by OOM meanwhile", {"disruption": "EvictionByEvictionAPI", "phase": "Failed", "exit_code": 137,
      "exit_reason": "OOMKilled"}, "Evicted", "Disruption"),
    ("failed before it started", {"phase": "Failed"}, "PodFailed", "Disruption"),
    ("asked to stop by nobody known", {"phase": "Failed", "exit_code": 143, "exit_reason": "Error"}, "Terminated",
     "Disruption"),
    ("refused by the API server", {"phase": "Failed", "exit_code": 77, "exit_reason": "Error"}, "Refused", "App"),
    ("no heartbeat", {"phase": "Failed", "exit_code": 1, "exit_message": WATCHDOG_DUMP}, "HeartbeatLost", "App"),
    ("an unhandled exception", {"phase": "Failed", "exit_code": 1, "exit_message": TRACEBACK}, "ProcessDied", "App"),
    ("no such program in the image", {"phase": "Failed", "exit_code": 128, "exit_reason": "StartError",
      "exit_message": 'exec: "python3": executable file not found in $PATH'}, "ContainerNotStarted", "App"),
    ("wrote more than its limit", {"phase": "Failed", "reason": "Evicted", "disruption": "TerminationByKubelet",
      "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."},
     "StorageLimitExceeded", "App"),
    ("wrote more to /tmp than it may", {"phase": "Failed", "reason": "Evicted", "disruption": "TerminationByKubelet",
      "message": 'Usage of EmptyDir volume "tmp" exceeds the limit "10Gi". '}, "StorageLimitExceeded", "App"),
    ("evicted with the others of a full node", {"phase": "Failed", "reason": "Evicted", "disruption":
      "TerminationByKubelet", "message": "The node was low on resource: memory."}, "TerminatedByNode", "Disruption"),
    ("no room for its disk on arrival", {"phase": "Failed", "reason": "OutOfephemeral-storage"},
     "OutOfephemeral-storage", "Disruption"),
    ("own container ended beside a sidecar", {"phase": "Running", "exit_code": 7, "exit_reason": "Error"},
     "ProcessDied", "App"),
    ("own container ended, another has no image", {"phase": "Pending", "exit_code": 7}, "ProcessDied", "App"),
    ("own container out of memory beside a sidecar", {"phase": "Running", "exit_code": 137, "exit_reason":
      "OOMKilled"}, "OOMKilled", "App"),
    ("drained, its own container ended first", {"phase": "Running", "disruption": "EvictionByEvictionAPI",
      "deletion_at": NOW + 20, "exit_code": 1}, "Evicted", "Disruption"),
    ("deleted, its own container ended first", {"phase": "Running", "deletion_at": NOW + 20, "exit_code": 143},
     "PodDeleted", "Disruption"),
    ("evicted while an init container ran", {"phase": "Failed", "reason": "Evicted", "blocker": FAILED_INIT}, "Evicted",
     "Disruption"),
    ("deleted while an init container ran", {"phase": "Failed", "deletion_at": NOW + 20, "blocker": FAILED_INIT},
     "PodDeleted", "Disruption"),
    ("node rebooted while an init container ran", {"phase": "Failed", "blocker":
      replace(FAILED_INIT, exit_code=255, exit_reason="Unknown")}, "NodeRebooted", "Disruption"),
    ("vanished after an init container failed", {"phase": "Failed", "blocker": FAILED_INIT, "gone": True},
     "InitContainerFailed", "None"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "reason", "budget"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_end_of_a_pod_without_a_report(fields: dict[str, Any], reason: str, budget: str) -> None:
    reading = of_pod(a_pod(a_task(), **fields), NOW, LIMITS)
    assert isinstance(reading, PodEnded)
    assert (reading.reason, reading.budget, reading.retryable) == (reason, budget, True)


def test_running_pod_is_alive() -> None:
    assert of_pod(a_pod(a_task()), NOW, LIMITS) == PodHealthy()


def test_pod_is_alive_while_its_own_container_runs_though_another_has_no_image() -> None:
    assert of_pod(a_pod(a_task(), phase="Pending"), NOW + LIMITS.pending_timeout, LIMITS) == PodHealthy()


def test_pod_of_which_nothing_is_said_of_the_own_container_is_alive_while_it_runs() -> None:
    assert of_pod(a_pod(a_task(), running_since=None), NOW, LIMITS) == PodHealthy()


def test_pod_that_is_being_deleted_may_still_report_until_its_grace_is_over() -> None:
    assert of_pod(a_pod(a_task(), deletion_at=NOW + 20), NOW, LIMITS) == PodHealthy(NOW + 25)


def test_lost_node_is_not_waited_for() -> None:
    pod = a_pod(a_task(), disruption="DeletionByTaintManager", deletion_at=NOW + 1000)
    assert isinstance(of_pod(pod, NOW, LIMITS), PodEnded)


def pending(age: float, **fields: Any) -> Any:
    task = a_task()
    pod = a_pod(task, **{"phase": "Pending", "node": "", "running_since": None, **fields})
    made = meta(pod.meta.key.name, created=NOW - age, owner_uid=task.meta.uid)
    return of_pod(replace(pod, meta=made), NOW, LIMITS)


def test_unschedulable_quotes_the_scheduler() -> None:
    blocked = pending(20, unschedulable="0/2 nodes are available: 2 Insufficient memory.")
    assert isinstance(blocked, PodBlocked)
    assert blocked.reason == "Unschedulable"
    assert "2 Insufficient memory" in blocked.message
    assert not blocked.permanent


def test_gated_pod_is_queued_without_a_limit_of_time() -> None:
    blocked = pending(LIMITS.pending_timeout * 10, gates="kueue.x-k8s.io/admission", queue="team-a")
    assert isinstance(blocked, PodBlocked)
    assert (blocked.reason, blocked.permanent, blocked.wake_at) == ("SchedulingGated", False, None)
    assert blocked.message.startswith("the pod is queued in the queue 'team-a': its scheduling gates (kueue.x-k8s.io/")


@pytest.mark.parametrize("opened", ["ungated_at", "scheduled_at"])
def test_time_in_a_queue_is_no_part_of_the_time_to_start(opened: str) -> None:
    since = NOW - 5
    assert pending(LIMITS.pending_timeout * 10, **{opened: since}) == PodHealthy(since + LIMITS.pending_timeout)


def test_init_container_that_failed_holds_the_pod_with_its_name_code_and_words() -> None:
    blocked = pending(5, phase="Failed", blocker=FAILED_INIT)
    assert isinstance(blocked, PodBlocked)
    assert (blocked.reason, blocked.permanent) == ("InitContainerFailed", False)
    assert "init container 'migrate' ended with exit code 3: no such table" in blocked.message
    assert "-c migrate" in blocked.message


def test_unschedulable_has_its_own_timeout() -> None:
    blocked = pending(LIMITS.pending_timeout + 1, unschedulable="no")
    assert isinstance(blocked, PodBlocked)
    assert blocked.permanent


@pytest.mark.parametrize(
    ("reason", "words", "age", "permanent"),
    [
        ("InvalidImageName", "couldn't parse image name", 1, True),
        ("ErrImagePull", "connection refused", 300, False),
        ("ErrImagePull", "docker.io/x:1: not found", 1, False),
        ("ImagePullBackOff", "docker.io/x:1: not found", 31, True),
        ("ErrImagePull", "pull access denied", 31, True),
    ],
)
def test_image_that_cannot_be_pulled(reason: str, words: str, age: float, permanent: bool) -> None:
    blocked = pending(age, waiting_reason=reason, waiting_message=words)
    assert isinstance(blocked, PodBlocked)
    assert (blocked.reason, blocked.permanent) == ("ImagePullFailed", permanent)
    assert "runtime:1" in blocked.message


def test_container_that_is_being_created_is_no_trouble() -> None:
    assert pending(30, waiting_reason="ContainerCreating") == PodHealthy(NOW - 30 + LIMITS.pending_timeout)


@pytest.mark.parametrize("reason", ["ContainerCreating", ""])
def test_pod_that_never_starts_is_replaced_at_the_clusters_charge(reason: str) -> None:
    ended = pending(LIMITS.pending_timeout, waiting_reason=reason)
    assert isinstance(ended, PodEnded)
    assert (ended.reason, ended.budget, ended.retryable) == ("NotStarted", "Disruption", True)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        ("CreateContainerError", "context deadline exceeded"),
        ("RunContainerError", "no such device"),
    ],
)
def test_container_that_cannot_start_is_held_then_given_up_with_kubelets_words(reason: str, words: str) -> None:
    early, late = (pending(age, waiting_reason=reason, waiting_message=words) for age in (5, 31))
    assert isinstance(early, PodBlocked)
    assert isinstance(late, PodBlocked)
    assert (early.reason, early.permanent, late.permanent) == ("ContainerNotStarted", False, True)
    assert words in early.message


@pytest.mark.parametrize(
    "words", ['secret "key" not found', 'configmap "a" not found', "couldn't find key url in ConfigMap default/a"]
)
def test_missing_source_of_a_variable_is_waited_for(words: str) -> None:
    early, late = (
        pending(age, waiting_reason="CreateContainerConfigError", waiting_message=words)
        for age in (31, LIMITS.pending_timeout + 1)
    )
    assert isinstance(early, PodBlocked)
    assert isinstance(late, PodBlocked)
    assert (early.permanent, late.permanent) == (False, True)
    assert f"{words}. An environment variable needs it: create it" in early.message


@pytest.mark.parametrize("words", ["No module named application_sdk", "No module named 'application_sdk'"])
def test_image_without_the_sdk_is_named_and_not_tried_again(words: str) -> None:
    pod = a_pod(a_task(), phase="Failed", exit_code=1, exit_message=f"/usr/bin/python3: {words}")
    ended = of_pod(pod, NOW, LIMITS)
    assert isinstance(ended, PodEnded)
    assert (ended.reason, ended.retryable) == ("SdkNotFound", False)
    assert "runtime:1" in ended.message


def test_report_that_the_api_server_never_takes_is_not_tried_again() -> None:
    ended = of_pod(a_pod(a_task(), phase="Failed", exit_code=69), NOW, LIMITS)
    assert isinstance(ended, PodEnded)
    assert (ended.reason, ended.retryable) == ("ReportRefused", False)


@pytest.mark.parametrize(
    ("kind", "count", "permanent"),
    [
        ("Quota", 9, False),
        ("Invalid", 1, True),
        ("Forbidden", 1, True),
        ("Webhook", 9, False),
        ("NoAccount", 9, False),
    ],
)
def test_refused_pod(kind: Any, count: int, permanent: bool) -> None:
    blocked = of_rejection(Rejection("pod", kind, "because", NOW, NOW + 2, count), NOW + 1, LIMITS)
    assert (blocked.permanent, blocked.message, blocked.wake_at) == (permanent, "because", NOW + 2)


def test_missing_service_account_is_waited_for_as_long_as_a_node_is() -> None:
    rejection = Rejection("pod", "NoAccount", "not found", NOW - LIMITS.pending_timeout, NOW + 2, 60)
    assert not of_rejection(rejection, NOW, LIMITS).permanent
    assert of_rejection(rejection, NOW + 1, LIMITS).permanent


def test_report_names_the_exception_and_charges_the_app() -> None:
    ended = of_report({"type": "ValueError", "message": "no"}, [])
    assert (ended.reason, ended.budget, ended.retryable) == ("ValueError", "App", True)


@pytest.mark.parametrize(
    ("error", "non_retryable"),
    [({"type": "E", "message": "", "retryable": False}, []), ({"type": "E", "message": ""}, ["E"])],
)
def test_permanent_error_is_not_retried(error: Any, non_retryable: list[str]) -> None:
    assert not of_report(error, non_retryable).retryable


def test_stall_is_charged_to_nobody() -> None:
    ended = of_report({"type": "ImportError", "message": "", "stall": "LoadFailed"}, [])
    assert (ended.reason, ended.budget) == ("LoadFailed", "None")
