"""One pass over a run whose route hasn't ended, whether it goes on or was cancelled and cleans up.

Both go through the same pipeline: commit what is reported, decide about the driver and every open
call, start pods, write the status. `Report` is the part in which they differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse, rfc3339
from apprun_operator.plan import conditions
from apprun_operator.plan.actions import EnsureNamespace, Plan, RunAction
from apprun_operator.plan.call.attempts import CallDecision
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pod.image_pinning import corrected, learned, pinned
from apprun_operator.plan.run import retention
from apprun_operator.plan.run.app_resolution import cancel_grace
from apprun_operator.plan.run.app_state import save_state
from apprun_operator.plan.run.calls import Calls, decide_calls, settles_at
from apprun_operator.plan.run.cancel import cancel_calls, is_cleanup
from apprun_operator.plan.run.commit import Commit, commit, counts, ledger_writes
from apprun_operator.plan.run.driver_contact import with_contact
from apprun_operator.plan.run.finish import Ending
from apprun_operator.plan.run.parking import decide_driver, with_parking
from apprun_operator.plan.run.scheduling import PodStarts, start_pods
from apprun_operator.plan.run.stall import driver_condition, with_changed_code
from apprun_operator.plan.run.waiting import with_queue, with_waits
from apprun_operator.plan.status_patch import replacing
from apprun_operator.plan.times import earliest


@dataclass(frozen=True, slots=True)
class Work:
    """What a pass has decided before it words the status."""

    ledger: Commit
    driver: CallDecision
    calls: Calls
    starts: PodStarts


@dataclass(frozen=True, slots=True)
class Report:
    """What a pass writes into the status beside the ledger."""

    status: JSONObject = field(default_factory=dict)
    ensure: EnsureNamespace | None = None
    """Service accounts and bindings to create again, since the driver isn't heard."""
    wake_at: float | None = None


def advance(observed: Observed, driver: TaskRecord, ending: Ending | None, now: float, limits: Limits) -> Plan:
    """What to do for a run whose route hasn't ended; `ending` is the end from outside for which it
    cleans up."""
    stored_app, observed = observed.run.app, pinned(observed)
    ledger = commit(observed, now, cancel=ending is not None and observed.run.cancelled_at is None)
    decision = decide_driver(observed, driver, len(ledger.new), now, limits)
    calls = _decide_calls(observed, ending is not None, now, limits)
    starts = start_pods(observed, driver, decision.wants_pod, calls, limits)
    work = Work(ledger, decision, calls, starts)
    if ending is None:
        report = _report_progress(observed, driver, stored_app, work, now, limits)
    else:
        report = _report_cleanup(observed, ending, now)
    return _arrange(observed, work, report, now, limits)


def _decide_calls(observed: Observed, cancelled: bool, now: float, limits: Limits) -> Calls:
    if not cancelled:
        return decide_calls(observed, observed.tasks, now, limits)
    cleanup = {name: task for name, task in observed.tasks.items() if is_cleanup(task)}
    calls = decide_calls(observed, cleanup, now, limits)
    cancel_calls(observed, calls, now)
    return calls


def _report_progress(
    observed: Observed, driver: TaskRecord, stored_app: JSONObject | None, work: Work, now: float, limits: Limits
) -> Report:
    """The condition of a run that goes on, or waits, or needs a person; and its app, when it is
    resolved again."""
    run, calls, starts = observed.run, work.calls, work.starts
    condition, app, stall_due = driver_condition(observed, driver, work.driver, bool(work.ledger.new), now, limits)
    condition = with_changed_code(observed, condition)
    condition, ensure, contact_due = with_contact(observed, condition, driver, now)
    # A write that is made anyway may refresh counts for which none would be made.
    writes = bool(work.ledger.status) or app is not None
    # guard: waits-shown - a run that waits without a reason looks like one that hangs
    condition, waits_due = with_waits(observed, condition, calls.waits, settles_at(calls), writes, now)
    condition, queue_due = with_queue(observed, condition, starts.why, starts.since, writes, now)
    condition = with_parking(observed, condition, driver, len(work.ledger.new))
    status = conditions.changes(run, condition, now)
    pins = learned(stored_app, run.app)
    if app is not None:
        status["app"] = replacing(run.app or {}, corrected(observed, app))
    elif pins and (status or work.ledger.status):
        status["app"] = pins
    return Report(status, ensure, earliest(stall_due, contact_due, waits_due, queue_due))


def _report_cleanup(observed: Observed, ending: Ending, now: float) -> Report:
    """The condition of a cancelled run whose route cleans up, with the time that it has for
    that."""
    run = observed.run
    cancelled_at = rfc3339(now if run.cancelled_at is None else run.cancelled_at)
    until = parse(cancelled_at) + cancel_grace(observed)
    message = f"{ending.message}; its route may clean up until {rfc3339(until)[:19]}Z"
    status = conditions.changes(run, RunCondition("Cancelling", ending.reason, message), now)
    if run.cancelled_at is None:
        status["cancelledAt"] = cancelled_at
    return Report(status, wake_at=until)


def _arrange(observed: Observed, work: Work, report: Report, now: float, limits: Limits) -> Plan:
    """The run's actions, in the order in which they have to be done, then those of its pods and
    AppTasks."""
    run, starts = observed.run, work.starts
    status: JSONObject = {**work.ledger.status, **report.status}
    if status:
        tasks = cast("JSONObject", status.get("tasks") or counts(observed))
        status["tasks"] = {**tasks, "queued": starts.queued}
    first: list[RunAction] = ledger_writes(run, work.ledger, status)
    if starts.pods and not observed.namespace_ready:
        first.append(EnsureNamespace(run.meta.key, starts.pods[0].pod.name))
    first += work.calls.fetches
    # State before the calls that saved it: a call that has succeeded is never asked for its state
    # again.
    saved = save_state(observed, now, limits)
    first += [] if saved.write is None else [saved.write]
    if report.ensure is not None and report.ensure not in first:
        first.append(report.ensure)
    # Strays first, whose places the next attempts may need; pods of committed calls last, since
    # nobody waits for them.
    strays, committed = retention.delete_unneeded(observed)
    then = [*strays, *saved.answers, *work.driver.actions, *work.calls.actions, *starts.pods, *committed]
    wake_at = earliest(work.driver.wake_at, work.calls.wake_at, report.wake_at)
    return Plan(first, then, wake_at, starts.demand, starts.offers)
