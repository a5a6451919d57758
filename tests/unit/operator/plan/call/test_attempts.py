"""What becomes of one open call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, meta, seen

from apprun_operator.observe.pods import Rejection
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse, rfc3339
from apprun_operator.plan.actions import PatchTask
from apprun_operator.plan.call.attempts import decide, fire_timer

RETRY = {"maxAttempts": 3, "initialIntervalSeconds": 2, "maxIntervalSeconds": 5, "backoffCoefficient": 2}
POLICY = {"retry": RETRY}


def history(*budgets: str, reason: str = "X") -> tuple[dict[str, Any], ...]:
    return tuple({"attempt": n + 1, "reason": reason, "budget": budget} for n, budget in enumerate(budgets))


def failed(task: TaskRecord) -> TaskRecord:
    return replace_error(task, {"type": "ValueError", "message": "no", "attempt": task.attempt})


def replace_error(task: TaskRecord, error: dict[str, Any]) -> TaskRecord:
    return replace(task, error=error)


def status_of(decision: Any) -> dict[str, Any]:
    (action,) = [action for action in decision.actions if isinstance(action, PatchTask)]
    return dict(action.status)


def test_new_call_wants_a_pod() -> None:
    task = a_task()
    decision = decide(seen(task), task, NOW, LIMITS)
    assert decision.wants_pod
    assert not decision.actions


def test_call_with_a_living_pod_occupies_a_slot_and_costs_nothing() -> None:
    task = a_task()
    decision = decide(seen(task, a_pod(task)), task, NOW, LIMITS)
    assert decision.occupies
    assert not decision.actions


def test_call_with_a_request_under_way_is_left_alone() -> None:
    task = failed(a_task())
    decision = decide(seen(task, in_flight={task.meta.key.name}), task, NOW, LIMITS)
    assert not decision.actions
    assert not decision.wants_pod


def test_failed_attempt_is_answered_with_the_next_one_after_a_backoff() -> None:
    task = failed(a_task(policy=POLICY))
    status = status_of(decide(seen(task, a_pod(task)), task, NOW, LIMITS))
    assert (status["phase"], status["attempt"]) == ("Active", 2)
    assert parse(status["notBefore"]) == NOW + 2
    assert status["attempts"][0]["reason"] == "ValueError"
    assert status["attempts"][0]["node"] == "node1"


@pytest.mark.parametrize(("before", "pause"), [((), 2), (("App",), 4), (("App", "Disruption"), 4)])
def test_backoff_grows_with_the_apps_own_failures_only(before: tuple[str, ...], pause: float) -> None:
    task = failed(
        a_task(policy={"retry": {**RETRY, "maxAttempts": 9}}, attempts=history(*before), attempt=len(before) + 1)
    )
    assert parse(status_of(decide(seen(task), task, NOW, LIMITS))["notBefore"]) == NOW + pause


def test_backoff_is_bounded() -> None:
    task = failed(a_task(policy={"retry": {**RETRY, "maxAttempts": 9}}, attempts=history(*["App"] * 6), attempt=7))
    assert parse(status_of(decide(seen(task), task, NOW, LIMITS))["notBefore"]) == NOW + 5


def test_last_attempt_fails_the_call_with_its_own_words() -> None:
    task = failed(a_task(policy=POLICY, attempts=history("App", "App"), attempt=3))
    status = status_of(decide(seen(task), task, NOW, LIMITS))
    assert status["phase"] == "Failed"
    assert status["error"]["type"] == "ValueError"
    assert status["finishedAt"] == rfc3339(NOW)


def test_disruptions_burn_no_retries() -> None:
    task = failed(a_task(policy=POLICY, attempts=history(*["Disruption"] * 10), attempt=11))
    assert status_of(decide(seen(task), task, NOW, LIMITS))["attempt"] == 12


def test_disruption_is_answered_at_once() -> None:
    task = a_task(policy=POLICY)
    pod = a_pod(task, disruption="DeletionByTaintManager", deletion_at=NOW + 30)
    status = status_of(decide(seen(task, pod), task, NOW, LIMITS))
    assert (status["attempt"], status["notBefore"]) == (2, None)
    assert status["attempts"][0]["budget"] == "Disruption"


def test_disruption_budget_ends_too() -> None:
    task = a_task(attempts=history(*["Disruption"] * 20), attempt=21)
    status = status_of(decide(seen(task, a_pod(task, gone=True)), task, NOW, LIMITS))
    assert status["phase"] == "Failed"
    assert "21 disruptions" in status["error"]["message"]


def test_error_of_an_earlier_attempt_says_nothing_of_this_one() -> None:
    task = replace_error(a_task(attempt=2), {"type": "ValueError", "message": "no", "attempt": 1})
    assert decide(seen(task), task, NOW, LIMITS).wants_pod


def test_backoff_is_waited_for() -> None:
    task = a_task(attempt=2, not_before=NOW + 3)
    decision = decide(seen(task), task, NOW, LIMITS)
    assert not decision.wants_pod
    assert decision.wake_at == NOW + 3


def test_lost_pod_that_stays_terminating_is_left_to_the_cluster() -> None:
    task = a_task(attempt=2)
    old = a_pod(task, attempt=1, disruption="DeletionByTaintManager", deletion_at=NOW - 900)
    decision = decide(seen(task, old), task, NOW, LIMITS)
    assert decision.wants_pod
    assert not decision.actions


def test_call_fails_when_it_took_too_long_over_all_attempts() -> None:
    task = a_task(policy={"retry": RETRY, "scheduleToCloseSeconds": 60})
    status = status_of(decide(seen(task, a_pod(task)), task, NOW, LIMITS))
    assert (status["phase"], status["error"]["type"]) == ("Failed", "TimedOut")


def test_long_wait_is_told_on_the_apptask_once() -> None:
    task = a_task()
    pod = a_pod(task, phase="Pending", running_since=None, unschedulable="no room")
    told = status_of(decide(seen(task, pod), task, NOW, LIMITS))
    assert told["phase"] == "Waiting"
    assert "no room" in told["message"]
    waiting = a_task(phase="Waiting", message=told["message"])
    assert not decide(seen(waiting, pod), waiting, NOW, LIMITS).actions


def test_short_wait_costs_no_write() -> None:
    task = a_task()
    made = meta(task.pod_name, owner_uid=task.meta.uid, created=NOW - 1)
    pod = a_pod(task, meta=made, phase="Pending", running_since=None, unschedulable="no room")
    decision = decide(seen(task, pod), task, NOW, LIMITS)
    assert not decision.actions
    assert decision.wake_at == NOW + 4


def test_waiting_call_is_active_again_when_its_pod_runs() -> None:
    task = a_task(phase="Waiting", message="Unschedulable: no room")
    assert status_of(decide(seen(task, a_pod(task)), task, NOW, LIMITS)) == {"phase": "Active", "message": None}


def test_quota_never_burns_an_attempt() -> None:
    task = a_task()
    name = task.pod_name
    rejection = Rejection(name, "Quota", "exceeded quota", NOW - 100, NOW + 5, 6)
    status = status_of(decide(seen(task, rejections={name: rejection}), task, NOW, LIMITS))
    assert status["phase"] == "Waiting"
    assert "attempt" not in status


def test_refused_pod_is_tried_again_after_its_pause() -> None:
    task = a_task()
    name = task.pod_name
    rejection = Rejection(name, "Quota", "exceeded quota", NOW - 100, NOW - 1, 6)
    assert decide(seen(task, rejections={name: rejection}), task, NOW, LIMITS).wants_pod


def test_invalid_pod_fails_its_task_at_once() -> None:
    task = a_task()
    name = task.pod_name
    rejection = Rejection(name, "Invalid", "cpu: must be a quantity", NOW, NOW + 1)
    status = status_of(decide(seen(task, rejections={name: rejection}), task, NOW, LIMITS))
    assert (status["phase"], status["error"]["message"]) == ("Failed", "cpu: must be a quantity")


def test_attempts_that_ended_are_told_in_one_line_with_reasons_and_charges() -> None:
    before = (
        *history("Disruption", "Disruption", reason="NodeLost"),
        {"attempt": 3, "reason": "OOMKilled", "budget": "App"},
    )
    task = failed(a_task(policy=POLICY, attempts=before, attempt=4))
    assert status_of(decide(seen(task), task, NOW, LIMITS))["message"] == (
        "App 2/3: OOMKilled, ValueError; Disruption 2/20: NodeLost ×2"
    )


def test_line_about_ended_attempts_comes_back_after_a_wait() -> None:
    task = a_task(phase="Waiting", message="Unschedulable: no room", attempt=2, attempts=history("App"))
    assert status_of(decide(seen(task, a_pod(task)), task, NOW, LIMITS))["message"] == "App 1/3: X"


def test_attempt_that_could_only_begin_after_the_calls_deadline_is_not_made() -> None:
    task = failed(a_task(policy={"retry": RETRY, "scheduleToCloseSeconds": 61}))
    status = status_of(decide(seen(task), task, NOW, LIMITS))
    assert (status["phase"], status["error"]["type"]) == ("Failed", "ValueError")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"exit_code": 128, "exit_reason": "StartError"}, "ContainerNotStarted"),
        ({"exit_code": 1, "exit_message": "No module named application_sdk"}, "SdkNotFound"),
    ],
)
def test_driver_whose_image_is_wrong_is_held_and_tried_again_slowly(end: dict[str, Any], reason: str) -> None:
    driver = a_driver(attempt=2, attempts=history("None", reason=reason))
    decision = decide(seen(driver, a_pod(driver, phase="Failed", **end)), driver, NOW, LIMITS)
    assert decision.blocked is not None
    assert (decision.blocked.reason, decision.blocked.permanent) == (reason, True)
    status = status_of(decision)
    assert (status["attempt"], status["attempts"][-1]["budget"]) == (3, "None")
    assert parse(status["notBefore"]) == NOW + 20


def test_task_whose_container_cannot_start_uses_up_its_own_attempts() -> None:
    task = a_task(policy=POLICY)
    pod = a_pod(task, phase="Failed", exit_code=128, exit_reason="StartError")
    assert status_of(decide(seen(task, pod), task, NOW, LIMITS))["attempts"][0]["budget"] == "App"


def test_what_a_route_raises_is_never_tried_again() -> None:
    driver = replace_error(a_driver(), {"type": "ValueError", "message": "no", "attempt": 1, "retryable": True})
    assert status_of(decide(seen(driver), driver, NOW, LIMITS))["phase"] == "Failed"


def test_driver_that_dies_is_tried_again() -> None:
    driver = a_driver()
    pod = a_pod(driver, phase="Failed", exit_code=1)
    assert status_of(decide(seen(driver, pod), driver, NOW, LIMITS))["attempt"] == 2


@pytest.mark.parametrize(("stalls", "pause"), [(0, 10), (1, 20), (4, 160), (7, 300)])
def test_stalled_driver_is_tried_again_ever_more_slowly(stalls: int, pause: float) -> None:
    error = {"type": "ImportError", "message": "no", "attempt": stalls + 1, "stall": "LoadFailed"}
    before = history(*["None"] * stalls, reason="LoadFailed")
    driver = replace_error(a_driver(attempt=stalls + 1, attempts=before), error)
    status = status_of(decide(seen(driver), driver, NOW, LIMITS))
    assert parse(status["notBefore"]) == NOW + pause


def test_history_of_a_run_that_stalls_for_weeks_stays_short() -> None:
    error = {"type": "ImportError", "message": "no", "attempt": 101, "stall": "LoadFailed"}
    driver = replace_error(a_driver(attempt=101, attempts=history(*["None"] * 100, reason="LoadFailed")), error)
    status = status_of(decide(seen(driver), driver, NOW, LIMITS))
    assert [entry["attempt"] for entry in status["attempts"]] == [*range(93, 101), 101]


def test_correction_ends_the_backoff_of_a_stall() -> None:
    driver = a_driver(attempt=2, attempts=history("None", reason="LoadFailed"), not_before=NOW + 300)
    assert not decide(seen(driver, run=a_run(phase="Stalled")), driver, NOW, LIMITS).wants_pod
    assert decide(seen(driver, run=a_run()), driver, NOW, LIMITS).wants_pod


def test_pod_with_another_owner_is_waited_for_and_in_time_told_of() -> None:
    task = a_task(seen_at=NOW - 1)
    pod = a_pod(task, meta=meta(task.pod_name, owner_uid="older"), gone=False, phase="Failed")
    decision = decide(seen(task, pod), task, NOW, LIMITS)
    assert not decision.wants_pod
    assert not decision.actions
    assert decision.wake_at == NOW + 4
    status = status_of(decide(seen(task, pod), task, NOW + 4, LIMITS))
    assert (status["phase"], status["message"].split(":")[0]) == ("Waiting", "PodTerminating")
    assert "on node node1" in status["message"]


def test_timer_fires_when_it_is_due() -> None:
    made = meta("timer", created=NOW - 10)
    fired, _ = fire_timer(a_task(meta=made, role="timer", seconds=9, seen_at=NOW - 9.5), NOW)
    assert fired is not None
    assert fired.status["phase"] == "Succeeded"


def test_timer_never_fires_early_though_creation_times_are_cut_to_seconds() -> None:
    made = meta("timer", created=NOW - 10)
    assert fire_timer(a_task(meta=made, role="timer", seconds=10, seen_at=NOW - 9.5), NOW) == (None, NOW + 0.5)
    assert fire_timer(a_task(meta=made, role="timer", seconds=10, seen_at=NOW - 1), NOW) == (None, NOW + 1)


def test_the_output_of_an_attempt_that_could_not_report_is_kept() -> None:
    task = a_task()
    pod = a_pod(task, phase="Failed", exit_code=137, exit_reason="OOMKilled", exit_message="loading\nrow 7\n")
    (patch,) = decide(seen(a_driver(), task, pod), task, NOW, LIMITS).actions
    assert isinstance(patch, PatchTask)
    assert patch.status["log"] == {"attempt": 1, "tail": "loading\nrow 7"}


def test_an_attempt_that_reported_has_sent_its_log_along() -> None:
    task = a_task(error={"type": "OSError", "message": "x", "attempt": 1})
    pod = a_pod(task, phase="Succeeded", exit_code=0, exit_message="what kubelet has is older")
    (patch,) = decide(seen(a_driver(), task, pod), task, NOW, LIMITS).actions
    assert isinstance(patch, PatchTask)
    assert "log" not in patch.status


def test_a_task_that_says_when_is_tried_again_then() -> None:
    error = {"type": "RetryableError", "message": "429", "retryAfterSeconds": 600.0}
    task = replace_error(a_task(policy=POLICY), {**error, "attempt": 1})
    assert parse(status_of(decide(seen(task), task, NOW, LIMITS))["notBefore"]) == NOW + 600
    limited = replace_error(a_task(policy={**POLICY, "scheduleToCloseSeconds": 300}), {**error, "attempt": 1})
    assert status_of(decide(seen(limited), limited, NOW, LIMITS))["phase"] == "Failed"
