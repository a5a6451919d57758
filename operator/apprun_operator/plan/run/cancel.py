"""The ends that come from outside: `spec.cancel` and `spec.timeoutSeconds`.

First the route is told, by an entry of the ledger: it gets a CancelledError there, in each replay too, and may clean up
with tasks of its own while the other calls are asked to stop. When it has ended, or its time for that is over, whatever
still runs is ended as well. What is reported meanwhile is committed as ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import CANCELLED, ErrorFields, RunPhase
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.observe.times import parse, rfc3339
from apprun_operator.plan import conditions
from apprun_operator.plan.actions import DeletePod, ItemAction, PatchTask, Plan, RunAction
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.limits import DELETION_SLACK, TERMINATION_GRACE
from apprun_operator.plan.run import attempts, pod_status, retention
from apprun_operator.plan.run.app_resolution import cancel_grace
from apprun_operator.plan.run.attempts import CallDecision
from apprun_operator.plan.run.commit import Commit, commit, counts, uncommitted
from apprun_operator.plan.status_patch import patch_run

WHY: Final = "the run was cancelled"


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run will have ended."""

    phase: RunPhase
    reason: str
    message: str
    error: ErrorFields | None = None


def due_to_end(run: RunRecord, now: float) -> tuple[Ending | None, float | None]:
    """The end that is due, if any, and otherwise when one will be."""
    if run.cancel:
        return Ending("Cancelled", "Cancelled", "the run was cancelled by spec.cancel"), None
    if run.timeout_seconds is None or run.started_at is None:
        return None, None
    deadline = run.started_at + run.timeout_seconds
    if now < deadline and run.cancelled_at is None:
        return None, deadline
    message = f"the run took longer than spec.timeoutSeconds ({run.timeout_seconds:g} s)"
    return Ending("Failed", "TimedOut", message, ErrorFields(type="TimedOut", message=message)), None


def may_clean_up(seen: Observed, now: float) -> bool:
    """Whether the route is still to be given the time to end by itself.

    Not one that can't be run, or that has done nothing yet; nor one whose end began without: a status that says
    Cancelling while the ledger doesn't is the mark of that.
    """
    run = seen.run
    driver = _driver(seen)
    if not run.began or (driver is not None and driver.reported_error is not None and "stall" in driver.reported_error):
        return False
    if run.cancelled_at is not None:
        return now < run.cancelled_at + cancel_grace(seen)
    if run.phase == "Cancelling" or cancel_grace(seen) <= 0:
        return False
    runs = driver is not None and _runs(seen.pods.get(driver.pod_name))
    called = bool(run.checkpoints or run.pages) or any(task.role != "driver" for task in seen.tasks.values())
    return runs or (called and run.phase != "Stalled")


def commit_cancel(seen: Observed, ending: Ending, now: float) -> tuple[Commit, JSONObject]:
    """What is committed, the cancellation itself with the first of it, and the status that tells of it."""
    run = seen.run
    ledger = commit(seen, now, cancel=run.cancelled_at is None)
    at = rfc3339(now) if run.cancelled_at is None else rfc3339(run.cancelled_at)
    status: JSONObject = {**ledger.status}
    if run.cancelled_at is None:
        status["cancelledAt"] = at
    until = rfc3339(parse(at) + cancel_grace(seen))[:19]
    wanted = RunCondition("Cancelling", ending.reason, f"{ending.message}; its route may clean up until {until}Z")
    if not conditions.is_written(run, wanted):
        status |= conditions.fields(run, wanted, now)
    return ledger, status


def cancel_call(seen: Observed, task: TaskRecord, now: float) -> CallDecision:
    """Ask the pod of an open call to stop. When it has, the call ends as Cancelled, unless it has reported a result."""
    pod = seen.pods.get(task.pod_name)
    if task.meta.key.name in seen.in_flight or task.pod_name in seen.in_flight:
        return CallDecision(occupies=pod is not None)
    if pod is None or stopped(pod, now) or task.reported_error is not None:
        return CallDecision([attempts.cancel(task, WHY, now, pod)])
    if pod.deletion_at is None:
        return CallDecision([DeletePod(pod.meta.key, pod.meta.uid)], occupies=True)
    return CallDecision(wake_at=pod.deletion_at + DELETION_SLACK, occupies=True)


def end_run(seen: Observed, ending: Ending, now: float) -> Plan:
    """End what still runs, wait for it no longer than its grace, then end the run."""
    run, driver = seen.run, _driver(seen)
    ledger = commit(seen, now)
    ending = _as_the_route_ended(driver, ending)
    first: list[RunAction] = [] if ledger.page is None else [ledger.page]
    stopping = [pod for pod in seen.pods.values() if not stopped(pod, now)]
    still_open = [task for task in seen.tasks.values() if not task.finished and task.role != "driver"]
    # A route that ended well in spite of it keeps nobody waiting.
    waits = ending.phase != "Succeeded" and (stopping or seen.in_flight or still_open)
    late = not seen.missing_pages and len(ledger.new) < len(uncommitted(seen))
    if waits or late:
        status: JSONObject = {**ledger.status}
        wanted = RunCondition("Cancelling", ending.reason, ending.message)
        if not conditions.is_written(run, wanted) and run.phase != "Cancelling":
            status |= conditions.fields(run, wanted, now)
        if status:
            first.append(patch_run(run, status, commits=len(ledger.new)))
        ends = [pod.deletion_at + DELETION_SLACK for pod in stopping if pod.deletion_at is not None]
        closing = [action for task in still_open for action in cancel_call(seen, task, now).actions] if waits else []
        then: list[ItemAction] = [action for action in closing if isinstance(action, PatchTask)]
        then += retention.delete_pods(seen)
        return Plan(first, then, min(ends, default=now + TERMINATION_GRACE + DELETION_SLACK))
    status = {"tasks": counts(seen), **ledger.status, "finishedAt": rfc3339(now)}
    status |= conditions.fields(run, RunCondition(ending.phase, ending.reason, ending.message), now)
    if ending.error is not None:
        status["error"] = cast("JSON", ending.error)
    if ending.phase == "Succeeded" and driver is not None and driver.output is not None:
        status["output"] = driver.output.decode()
    return Plan([*first, patch_run(run, status, commits=len(ledger.new), exact=run.began)])


def _as_the_route_ended(driver: TaskRecord | None, ending: Ending) -> Ending:
    """What the route made of its cancellation: it may have been quicker, or have caught it; or its clean-up failed."""
    if driver is None:
        return ending
    if driver.phase == "Succeeded" and driver.continue_with is None:
        return Ending("Succeeded", "Succeeded", "")
    error = driver.error
    if driver.phase == "Failed" and error is not None and error["type"] != CANCELLED:
        return Ending("Failed", error["type"], error["message"], error)
    stalled = driver.reported_error
    if stalled is not None and "stall" in stalled:
        return replace(ending, message=f"{ending.message}; its route couldn't clean up: {stalled['message']}")
    return ending


def _driver(seen: Observed) -> TaskRecord | None:
    return seen.tasks.get(names.driver_task_name(seen.run.meta.key.name))


def _runs(pod: PodRecord | None) -> bool:
    return pod is not None and not pod.ended and pod.running_since is not None


def stopped(pod: PodRecord, now: float) -> bool:
    """Whether nobody has to wait for this pod any more: it ended, was lost, or is past its grace."""
    given_up = pod.deletion_at is not None and now >= pod.deletion_at + DELETION_SLACK
    return pod.ended or given_up or pod.disruption == pod_status.NODE_LOST
