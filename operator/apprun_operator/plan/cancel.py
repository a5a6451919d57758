"""The ends that come from outside: `spec.cancel` and `spec.timeoutSeconds`. Pods are asked to stop, then the
run is over.

What pods report while they stop is still committed. Nothing new starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import RunPhase
from apprun_operator.observe.records import Observed, RunRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan import conditions, retention
from apprun_operator.plan.actions import Plan, RunAction
from apprun_operator.plan.commit import commit, counts
from apprun_operator.plan.conditions import Standing
from apprun_operator.plan.limits import CANCEL_GRACE, DELETION_SLACK
from apprun_operator.plan.patches import patch_run


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run will have ended."""

    phase: RunPhase
    reason: str
    message: str


def due_to_end(run: RunRecord, now: float) -> tuple[Ending | None, float | None]:
    """The end that is due, if any, and otherwise when one will be."""
    if run.cancel:
        return Ending("Cancelled", "Cancelled", "the run was cancelled by spec.cancel"), None
    if run.timeout_seconds is None or run.started_at is None:
        return None, None
    deadline = run.started_at + run.timeout_seconds
    if now < deadline:
        return None, deadline
    return Ending(
        "Failed", "TimedOut", f"the run took longer than spec.timeoutSeconds ({run.timeout_seconds:g} s)"
    ), None


def wind_up(seen: Observed, ending: Ending, now: float) -> Plan:
    """Ask the pods to stop, wait for their grace, then end the run."""
    run = seen.run
    ledger = commit(seen, now)
    driver = seen.tasks.get(names.driver_task_name(run.meta.key.name))
    if driver is not None and driver.phase == "Succeeded":
        # The route was quicker. Its result is there, so it counts.
        ending = Ending("Succeeded", "Succeeded", "")
    first: list[RunAction] = [] if ledger.page is None else [ledger.page]
    stopping = [p for p in seen.pods.values() if not p.ended and not _given_up(p.deletion_at, now)]
    if ending.phase != "Succeeded" and (stopping or seen.in_flight):
        status: JSONObject = {**ledger.status}
        wanted = Standing("Cancelling", ending.reason, ending.message)
        if not conditions.is_written(run, wanted):
            status |= conditions.fields(run, wanted, now)
        if status:
            first.append(patch_run(run, status, commits=len(ledger.new)))
        ends = [p.deletion_at + DELETION_SLACK for p in stopping if p.deletion_at is not None]
        return Plan(first, retention.delete_pods(seen), min(ends, default=now + CANCEL_GRACE))
    status = {"tasks": counts(seen), **ledger.status, "finishedAt": rfc3339(now)}
    status |= conditions.fields(run, Standing(ending.phase, ending.reason, ending.message), now)
    if ending.phase == "Failed":
        status["error"] = {"type": ending.reason, "message": ending.message}
    if ending.phase == "Succeeded" and driver is not None and driver.output is not None:
        status["output"] = driver.output
    return Plan([*first, patch_run(run, status, commits=len(ledger.new), exact=run.began)])


def _given_up(deletion_at: float | None, now: float) -> bool:
    return deletion_at is not None and now >= deletion_at + DELETION_SLACK
