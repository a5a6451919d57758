"""Metrics of warm pods: how many there are in each state, and which of the pool's writes count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.records import NOW, a_driver, a_pod, a_run, a_task, meta, seen

from application_sdk.wire import reasons
from application_sdk.wire.fields import ReplicaFields, ReuseFields
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import Key, TaskRecord
from apprun_operator.observe.workers import WorkerRecord
from apprun_operator.plan.actions import PatchRun, PatchTask
from apprun_operator.telemetry import samples
from apprun_operator.telemetry.gauges import warm_pod_state
from apprun_operator.telemetry.metrics import Metrics
from apprun_operator.telemetry.samples import AttemptFailed, CallAssigned, CallCommitted, SampleBatch

REUSE = ReuseFields(
    replicas=ReplicaFields(min=0, max=2), idleTtl=60.0, scaledownTtl=30.0, concurrency=1, mode="process"
)
INBOX = WorkerRecord(meta("shop-w-1-0"), "shop-w-1", "shop", 0)


def a_warm_pod(**fields: Any) -> PodRecord:
    return a_pod(a_task(), **fields)


def a_warm_call(**fields: Any) -> TaskRecord:
    place = {"reuse": REUSE, "assigned_name": "shop-w-1-0", "assigned_uid": "u", "assigned_at": NOW - 10}
    return a_task(**{**place, **fields})


def values(metrics: Metrics, name: str) -> dict[str, float]:
    """The samples of that name, by the state that they are of."""
    return {
        sample.labels.get("state", ""): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.parametrize(
    ("state", "pod", "inbox", "assigned"),
    [
        ("starting", a_warm_pod(phase="Pending", running_since=None), INBOX, False),
        ("idle", a_warm_pod(), INBOX, False),
        ("busy", a_warm_pod(), INBOX, True),
        ("draining", a_warm_pod(), replace(INBOX, drain=True), True),
        ("draining", a_warm_pod(deletion_at=NOW), INBOX, True),
        ("draining", a_warm_pod(disruption="PreemptionByScheduler"), INBOX, False),
    ],
)
def test_state_of_a_warm_pod(state: str, pod: PodRecord, inbox: WorkerRecord, assigned: bool) -> None:
    assert warm_pod_state(pod, inbox, assigned) == state


def gauges(*pods: tuple[PodRecord, WorkerRecord, bool], leads: Callable[[], bool] = lambda: True) -> dict[str, float]:
    metrics = Metrics()
    metrics.watch_warm_pods(lambda: pods, leads)
    return values(metrics, "apprun_warm_pods")


def test_warm_pods_are_counted_by_state_without_those_that_ended() -> None:
    busy, idle, ended = (a_warm_pod(), INBOX, True), (a_warm_pod(), INBOX, False), a_warm_pod(exit_code=0)
    assert gauges(busy, idle, busy, (ended, INBOX, True)) == {"starting": 0, "idle": 1, "busy": 2, "draining": 0}


def test_only_the_leader_counts_warm_pods() -> None:
    assert gauges((a_warm_pod(), INBOX, True), leads=lambda: False) == {}


def test_call_that_is_assigned_counts_as_running() -> None:
    metrics = Metrics()
    call = a_warm_call()
    metrics.watch_runs(lambda: [(a_run(), {call.meta.key.name: call}, {})], lambda: True)
    assert values(metrics, "apprun_tasks") == {"Running": 1}


def sampled(task: TaskRecord, **status: Any) -> SampleBatch:
    return samples.of_item(Key("default", task.run), a_run(), "task", PatchTask(task.meta.key, 1, status))


def test_assignment_is_counted() -> None:
    batch = sampled(a_warm_call(), attempt=1, pod={"name": "p", "uid": "u"}, assignedAt="2027-01-01T00:00:00Z")
    assert batch.samples == (CallAssigned(),)
    metrics = Metrics()
    assert values(metrics, "apprun_warm_calls_assigned_total") == {"": 0}
    metrics.record(batch)
    assert values(metrics, "apprun_warm_calls_assigned_total") == {"": 1}


def test_call_that_was_taken_back_is_counted() -> None:
    ended = {"attempt": 1, "reason": reasons.NOT_ACKNOWLEDGED, "budget": "None"}
    batch = sampled(a_warm_call(), attempt=2, attempts=[ended], pod=None, assignedAt=None)
    assert batch.samples == (AttemptFailed("task", "None", reasons.NOT_ACKNOWLEDGED),)
    metrics = Metrics()
    assert values(metrics, "apprun_warm_calls_not_acknowledged_total") == {"": 0}
    metrics.record(batch)
    assert values(metrics, "apprun_warm_calls_not_acknowledged_total") == {"": 1}


def test_stages_of_a_warm_call_begin_with_its_assignment() -> None:
    call = a_warm_call(phase="Succeeded", digest="d", seen_at=NOW - 59.5, started_at=NOW - 9, finished_at=NOW - 2)
    observed = seen(a_driver(), call, a_pod(a_driver()))
    entry = {"sequence": 0, "key": call.key, "task": call.task, "outcome": "Succeeded"}
    patch = PatchRun(observed.run.meta.key, 1, {"checkpoints": [entry]}, commits=1)
    (sample,) = samples.of_run(observed, patch, NOW).samples
    assert sample == CallCommitted("Succeeded", {"queue": 49.5, "start": 1.0, "run": 7.0, "commit": 2.0})
