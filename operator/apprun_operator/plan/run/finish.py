"""The end of a run: how its route has ended, or what ends it from outside, and the last write of
its status.

One function ends every run. A route that ended by itself leaves nothing to wait for but the commit
of its calls. `spec.cancel` and `spec.timeoutSeconds` also stop what still runs, and wait for that
no longer than the pods' grace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import CANCELLED, ErrorFields, RunPhase
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.records import RunRecord, TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan import conditions
from apprun_operator.plan.actions import CreateRun, ItemAction, PatchTask, Plan
from apprun_operator.plan.call.pod_status import is_stopped
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.limits import DELETION_SLACK, TERMINATION_GRACE
from apprun_operator.plan.run import retention
from apprun_operator.plan.run.cancel import cancel_call
from apprun_operator.plan.run.commit import Commit, commit, counts, ledger_writes, uncommitted
from apprun_operator.plan.run.continuation import successor
from apprun_operator.plan.status_patch import patch_condition


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run will have ended."""

    phase: RunPhase
    reason: str
    message: str = ""
    error: ErrorFields | None = None
    output: Packed | None = None
    successor: CreateRun | None = None
    """The run that it continues as."""
    from_outside: bool = False
    """Whether it also ends what still runs."""


def due_to_end(run: RunRecord, now: float) -> tuple[Ending | None, float | None]:
    """The end from outside that is due, or None and the moment at which one will be."""
    if run.cancel:
        return Ending("Cancelled", "Cancelled", "the run was cancelled by spec.cancel", from_outside=True), None
    if run.timeout_seconds is None or run.started_at is None:
        return None, None
    deadline = run.started_at + run.timeout_seconds
    if now < deadline and run.cancelled_at is None:
        return None, deadline
    message = f"the run took longer than spec.timeoutSeconds ({run.timeout_seconds:g} s)"
    error = ErrorFields(type="TimedOut", message=message)
    return Ending("Failed", "TimedOut", message, error, from_outside=True), None


def route_ending(run: RunRecord, driver: TaskRecord) -> Ending:
    """How a run ends whose route has ended by itself."""
    if driver.phase == "Succeeded" and driver.continue_with is not None:
        action = successor(run, driver.continue_with)
        message = f"the run goes on as AppRun {action.successor.name!r}"
        return Ending("Succeeded", "Continued", message, successor=action)
    if driver.phase == "Succeeded":
        return Ending("Succeeded", "Succeeded", output=driver.output)
    error = driver.error or {"type": "DriverCancelled", "message": "the driver's AppTask was cancelled by hand"}
    return Ending("Failed", error["type"], error["message"], error)


def end_run(observed: Observed, ending: Ending, now: float) -> Plan:
    """Commit the calls that have ended, end what still runs if the end comes from outside, then end
    the run."""
    ledger = commit(observed, now)
    if ending.from_outside:
        ending = _as_the_route_ended(observed.driver, ending)
    # A result that is reported but not committed would be lost with the end of the run.
    late = not observed.missing_pages and len(ledger.new) < len(uncommitted(observed))
    # A route that ended well although it was cancelled keeps nobody waiting.
    waits = ending.from_outside and ending.phase != "Succeeded" and _is_busy(observed, now)
    if waits or late:
        return _wait(observed, ledger, ending, waits, now)
    return _conclude(observed, ledger, ending, now)


def _is_busy(observed: Observed, now: float) -> bool:
    """Whether anything of the run is still at work: a pod, a request, or a call that hasn't
    ended."""
    return bool(observed.in_flight or _open_calls(observed)) or not all(
        is_stopped(pod, now) for pod in observed.pods.values()
    )


def _open_calls(observed: Observed) -> list[TaskRecord]:
    return [task for task in observed.tasks.values() if not task.finished and task.role != "driver"]


def _wait(observed: Observed, ledger: Commit, ending: Ending, waits: bool, now: float) -> Plan:
    """What a run does that can't end yet: it commits, and deletes its pods if the end comes from
    outside."""
    run = observed.run
    status: JSONObject = {**ledger.status}
    if not ending.from_outside:
        return Plan(ledger_writes(run, ledger, status))
    if run.phase != "Cancelling":
        status |= conditions.changes(run, RunCondition("Cancelling", ending.reason, ending.message), now)
    cancels = [a for task in _open_calls(observed) for a in cancel_call(observed, task, now).actions] if waits else []
    # The pods are deleted below, those of calls and all others.
    then: list[ItemAction] = [action for action in cancels if isinstance(action, PatchTask)]
    then += retention.delete_pods(observed)
    stopping = [pod for pod in observed.pods.values() if not is_stopped(pod, now)]
    overdue = [pod.deletion_at + DELETION_SLACK for pod in stopping if pod.deletion_at is not None]
    wake_at = min(overdue, default=now + TERMINATION_GRACE + DELETION_SLACK)
    return Plan(ledger_writes(run, ledger, status), then, wake_at)


def _conclude(observed: Observed, ledger: Commit, ending: Ending, now: float) -> Plan:
    """The last status write of the run, after the creation of the run that it continues as.

    A crash between the two leaves a successor and a run that hasn't ended: the next plan asks for
    the same successor, which is found.
    """
    run = observed.run
    status: JSONObject = {"tasks": counts(observed), **ledger.status, "finishedAt": rfc3339(now)}
    status |= conditions.fields(run, RunCondition(ending.phase, ending.reason, ending.message), now)
    if ending.error is not None:
        status["error"] = cast("JSON", ending.error)
    if ending.output is not None:
        status["output"] = ending.output.decode()
    if ending.successor is None:
        return Plan(ledger_writes(run, ledger, status, exact=run.began))
    name = ending.successor.successor.name
    rejection = observed.rejections.get(name)
    if rejection is not None and now < rejection.retry_at:
        message = f"the run can't go on as AppRun {name!r}: {rejection.message}"
        stalled = patch_condition(run, RunCondition("Stalled", "ContinuationRefused", message), now)
        return Plan(stalled, wake_at=rejection.retry_at)
    status["continuedAs"] = name
    *page, patch = ledger_writes(run, ledger, status, exact=run.began)
    return Plan([*page, ending.successor, patch])


def _as_the_route_ended(driver: TaskRecord | None, ending: Ending) -> Ending:
    """What the route made of its cancellation: it was quicker, or has caught it, or its clean-up
    has failed."""
    if driver is None:
        return ending
    if driver.phase == "Succeeded" and driver.continue_with is None:
        return Ending("Succeeded", "Succeeded", output=driver.output, from_outside=True)
    error = driver.error
    if driver.phase == "Failed" and error is not None and error["type"] != CANCELLED:
        return Ending("Failed", error["type"], error["message"], error, from_outside=True)
    reported = driver.reported_error
    if reported is not None and "stall" in reported:
        return replace(ending, message=f"{ending.message}; its route couldn't clean up: {reported['message']}")
    return ending
