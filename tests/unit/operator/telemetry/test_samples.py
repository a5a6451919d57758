"""What an accepted write means in figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, seen

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields
from apprun_operator.observe.observed import Observed
from apprun_operator.plan.actions import PatchRun, PatchTask
from apprun_operator.plan.call.pod_status import DISRUPTIONS
from apprun_operator.plan.run.reconcile import plan
from apprun_operator.telemetry import samples
from apprun_operator.telemetry.samples import AttemptFailed, CallCommitted, RunBegan, RunEnded, SampleBatch


def samples_of(observed: Observed) -> list[object]:
    """All figures of what a plan decides."""
    decided = plan(observed, NOW, LIMITS)
    found: list[object] = []
    for action in decided.first:
        if isinstance(action, PatchRun):
            found.extend(samples.of_run(observed, action, NOW).samples)
    for item in decided.then:
        found.extend(samples.of_item(observed.run.meta.key, observed.run, "task", item).samples)
    return found


def test_a_commit_tells_where_the_time_of_a_call_went() -> None:
    task = replace(
        a_task(phase="Succeeded", digest="d", started_at=NOW - 20, finished_at=NOW - 2),
        seen_at=NOW - 59.5,
    )
    pod = a_pod(task, seen_at=NOW - 50)
    pod = replace(pod, meta=replace(pod.meta, created=NOW - 50.5))
    assert samples_of(seen(a_driver(), task, a_pod(a_driver()), pod)) == [
        CallCommitted("Succeeded", {"queue": 9.5, "start": 30.0, "run": 18.0, "commit": 2.0})
    ]


def test_node_clock_that_is_ahead_makes_no_negative_times() -> None:
    task = a_task(phase="Succeeded", digest="d", started_at=NOW - 90, finished_at=NOW + 5)
    (sample,) = samples_of(seen(a_driver(), task, a_pod(a_driver()), a_pod(task)))
    assert isinstance(sample, CallCommitted)
    assert sample.stages["start"] == 0.0
    assert sample.stages["commit"] == 0.0


def test_creation_counts_to_the_second_after_a_restart() -> None:
    """A replica that has just started sees everything for the first time: that is no wait of the
    calls'."""
    task = a_task(phase="Succeeded", digest="d", started_at=NOW - 20, finished_at=NOW - 2, seen_at=NOW)
    pod = a_pod(task, seen_at=NOW)
    (sample,) = samples_of(seen(a_driver(), task, a_pod(a_driver()), pod))
    assert isinstance(sample, CallCommitted)
    assert sample.stages["queue"] == 0.0
    assert sample.stages["start"] == 39.0


def test_a_retry_tells_whom_it_was_charged_to() -> None:
    error: ErrorFields = {"type": "MyOwnError", "message": "", "attempt": 1}
    task = a_task(error=error)
    assert samples_of(seen(a_driver(), task, a_pod(a_driver()), a_pod(task))) == [
        AttemptFailed("task", "App", "Exception")
    ]


@pytest.mark.parametrize("condition", sorted(DISRUPTIONS))
def test_what_the_cluster_did_is_told_by_its_reason(condition: str) -> None:
    task = a_task()
    pod = a_pod(task, phase="Failed", disruption=condition)
    (sample,) = samples_of(seen(a_driver(), task, a_pod(a_driver()), pod))
    assert sample == AttemptFailed("task", "Disruption", DISRUPTIONS[condition][0])


def test_an_unknown_reason_makes_no_label_of_its_own() -> None:
    task = a_task()
    pod = a_pod(task, phase="Failed", disruption="SomethingNew")
    (sample,) = samples_of(seen(a_driver(), task, a_pod(a_driver()), pod))
    assert sample == AttemptFailed("task", "Disruption", "Other")


def test_a_message_about_a_wait_is_no_failed_attempt() -> None:
    task = a_task()
    patch = PatchTask(task.meta.key, 1, {"phase": "Waiting", "message": "QuotaExceeded: no"})
    assert samples.of_item(task.meta.key, None, "task", patch).samples == ()


def test_a_run_begins_once_and_ends_once() -> None:
    run = a_run(phase="Pending", conditions=(), started_at=None, app=None)
    status: JSONObject = {"phase": "Running", "startedAt": "2027-01-15T08:00:00Z", "app": {"name": "resolved"}}
    begins = PatchRun(run.meta.key, 1, status)
    ends = PatchRun(run.meta.key, 1, {"phase": "Failed"})
    new = seen(run=run)
    assert samples.of_run(new, begins, NOW) == SampleBatch("default", "resolved", (RunBegan(),))
    going = seen(run=a_run())
    assert samples.of_run(going, ends, NOW).samples == (RunEnded("Failed", 60.0),)
    over = seen(run=a_run(phase="Failed"))
    assert samples.of_run(over, ends, NOW).samples == ()


def test_a_run_that_was_never_resolved_has_no_app_and_no_name() -> None:
    assert samples.app_of(a_run(app=None, app_ref="")) == samples.NO_APP
    assert samples.app_of(None) == samples.NO_APP
