"""`plan(observed, now) -> actions`: the operator's whole judgement of one run, as a table of contents.

Level-triggered: it looks at what is, never at what happened, so a crash between any two actions only means that the
next plan asks for what is still missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.observed import Observed, PodQuota
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse, rfc3339
from apprun_operator.plan import conditions
from apprun_operator.plan.actions import (
    CreatePod,
    EnsureNamespace,
    FetchPage,
    FetchTask,
    ItemAction,
    PatchRun,
    Plan,
    PodDemand,
    RunAction,
)
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.events import announcement
from apprun_operator.plan.limits import UNPLACED_PODS, Limits
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pod.image_pinning import corrected, learned, pinned
from apprun_operator.plan.run import attempts, restored, retention
from apprun_operator.plan.run.app_resolution import cancel_grace, parallelism, resolve
from apprun_operator.plan.run.app_state import keep
from apprun_operator.plan.run.calls import Calls, judge_calls, settles_at
from apprun_operator.plan.run.cancel import Ending, cancel_call, commit_cancel, due_to_end, end_run, may_clean_up
from apprun_operator.plan.run.commit import Commit, commit, counts
from apprun_operator.plan.run.continuation import successor
from apprun_operator.plan.run.driver_contact import with_contact
from apprun_operator.plan.run.preconditions import Unresolved
from apprun_operator.plan.run.stall import standing, with_changed_code
from apprun_operator.plan.run.stray_pods import claim_of
from apprun_operator.plan.run.waiting import with_queue, with_waits
from apprun_operator.plan.status_patch import patch_run, replacing

GIVEN_UP_AT_A_TIME: Final = 200
"""Calls without a pod that a cancelled run ends in one pass."""


def plan(seen: Observed, now: float, limits: Limits) -> Plan:
    """What to do for this run, now. Same input, same actions."""
    decided = _decide(seen, now, limits)
    events = [announcement(seen.run, action, now) for action in decided.first if isinstance(action, PatchRun)]
    return replace(decided, first=[*decided.first, *filter(None, events)]) if any(events) else decided


def _decide(seen: Observed, now: float, limits: Limits) -> Plan:
    run = seen.run
    if run.meta.deleting:
        claim, given_up = claim_of(run.meta.key.name, seen.pods.values(), now)
        return Plan(wake_at=given_up, claim=claim)
    if run.problem:
        marks = conditions.unreadable(run, now)
        return Plan(first=[patch_run(run, marks)] if marks else [])
    if run.finished:
        return _clean_up(seen, now)
    if (held := restored.held(run)) is not None:
        return _report_condition(seen, held, now)
    ending, deadline = due_to_end(run, now)
    odd = _unreadable(seen)
    broken = odd or _damage(seen)
    if ending is not None and (broken or not (seen.missing_pages or may_clean_up(seen, now))):
        return end_run(seen, ending, now)
    if broken:
        return _report_condition(
            seen, RunCondition("Stalled", "Unreadable" if odd else "LedgerUnreadable", broken), now
        )
    if seen.missing_pages:
        return Plan(first=[FetchPage(run.meta.key, page) for page in seen.missing_pages])
    if seen.unseen_tasks:
        return Plan(first=[FetchTask(run.meta.key, name) for name in seen.unseen_tasks])
    if ending is not None:
        return _cancel(seen, ending, now, limits)
    decided = _go_on(seen, now, limits) if run.began else _begin(seen, now, limits)
    return replace(decided, wake_at=attempts.earliest(decided.wake_at, deadline))


def _clean_up(seen: Observed, now: float) -> Plan:
    """A finished run keeps the places of its pods until they are gone, and wants no others."""
    unfinished = [pod for pod in seen.pods.values() if pod.task not in seen.committed_tasks]
    claim, given_up = claim_of(seen.run.meta.key.name, unfinished, now)
    decided = retention.clean_up(seen, now)
    return replace(decided, claim=claim, wake_at=attempts.earliest(decided.wake_at, given_up))


def _unreadable(seen: Observed) -> str:
    """What to say of a part of the run that can't be understood. The whole run is left alone until it can."""
    if not seen.unreadable:
        return ""
    what, problem = min(seen.unreadable.items())
    return f"this version of the operator can't read {what}: {problem}. The run is left alone until that is corrected"


def _damage(seen: Observed) -> str:
    """What to say of a past that can't be trusted any more, because somebody deleted, altered or added a part of it."""
    for number in seen.missing_pages:
        if number in seen.lost_pages:
            # Without it a committed call might be taken for an open one.
            name = names.page_name(seen.run.meta.key.name, number)
            return f"AppLedger {name} is gone, and with it a part of what this run has done: start a new run"
    for name in seen.unseen_tasks:
        if name in seen.lost_tasks:
            return f"AppTask {name} is gone, and with it the result of a committed call: start a new run"
        if name in seen.altered_tasks:
            return (
                f"AppTask {name} was altered: it isn't what the ledger has committed. Put it back, or start a new run"
            )
    return restored.planted(seen)


def _begin(seen: Observed, now: float, limits: Limits) -> Plan:
    """The first status write and the driver's AppTask, or what a person has to do before."""
    run = seen.run
    if run.suspend:
        return _report_condition(
            seen, RunCondition("Suspended", "Suspended", "spec.suspend is set: nothing was started"), now
        )
    resolved = resolve(seen, now, limits)
    if isinstance(resolved, Unresolved):
        if resolved.until is not None:
            return Plan(wake_at=resolved.until)
        if resolved.waits:
            return _report_condition(seen, RunCondition("Pending", resolved.reason, resolved.message), now)
        return _report_condition(seen, RunCondition("Stalled", resolved.reason, resolved.message), now)
    if (marking := restored.mark(seen, now)) is not None:
        return marking
    # One write says that the run began, and with what. A crash after it finds `began` and no driver.
    status: JSONObject = {
        **conditions.fields(run, RunCondition("Running", "Running"), now),
        "startedAt": rfc3339(now),
        "app": resolved,
        "tasks": counts(seen),
    }
    first: list[RunAction] = [patch_run(run, status)]
    if not seen.namespace_ready:
        driver = names.driver_task_name(run.meta.key.name)
        first.append(EnsureNamespace(run.meta.key, names.pod_name(driver, 1, run.meta.uid)))
    return Plan(first, [pods.driver_task(run, attempts.DRIVER_RETRY)])


def _report_condition(seen: Observed, wanted: RunCondition, now: float) -> Plan:
    """Write `wanted`, unless the status says so."""
    if conditions.is_written(seen.run, wanted):
        return Plan()
    return Plan(first=[patch_run(seen.run, conditions.fields(seen.run, wanted, now))])


def _go_on(seen: Observed, now: float, limits: Limits) -> Plan:
    """A run that began: commit what is reported, answer what ended, start what may start."""
    written, seen = seen.run.app, pinned(seen)
    run = seen.run
    ledger = commit(seen, now)
    driver = seen.tasks.get(names.driver_task_name(run.meta.key.name))
    if driver is None:
        return _restore_driver(seen, now)
    if driver.finished:
        return _finish(seen, driver, ledger, now)
    judged = attempts.decide(seen, driver, now, limits)
    calls = judge_calls(seen, seen.tasks, now, limits)
    wanted, app, look_again = standing(seen, driver, judged, bool(ledger.new), now, limits)
    wanted = with_changed_code(seen, wanted)
    status: JSONObject = {**ledger.status}
    if app is not None:
        status["app"] = replacing(run.app or {}, corrected(seen, app))
    starts = _starts(seen, driver if judged.wants_pod else None, calls, limits)
    wanted, ensure, contact_due = with_contact(seen, wanted, driver, now)
    # guard: waits-shown - a run that waits without a reason looks like one that hangs
    wanted, waits_due = with_waits(seen, wanted, calls.waits, settles_at(calls), bool(status), now)
    wanted, queue_due = with_queue(seen, wanted, starts.why, starts.since, bool(status), now)
    if not conditions.is_written(run, wanted):
        status |= conditions.fields(run, wanted, now)
    known = learned(written, run.app)
    if status and known and app is None:
        status["app"] = known
    first, then = _in_order(seen, _Decided(ledger, status, judged, calls, starts), now, limits)
    first += [ensure] if ensure is not None and ensure not in first else []
    wake_at = attempts.earliest(judged.wake_at, calls.wake_at, look_again, contact_due, waits_due, queue_due)
    return Plan(first, then, wake_at, starts.claim)


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided on of a run that goes on."""

    ledger: Commit
    status: JSONObject
    driver: attempts.CallDecision
    calls: Calls
    starts: _Starts


def _in_order(
    seen: Observed, decided: _Decided, now: float, limits: Limits
) -> tuple[list[RunAction], list[ItemAction]]:
    """The run's actions, then those of its pods and AppTasks."""
    ledger, calls, starts = decided.ledger, decided.calls, decided.starts
    first: list[RunAction] = [] if ledger.page is None else [ledger.page]
    if decided.status:
        first.append(patch_run(seen.run, _with_counts(seen, decided.status, starts), commits=len(ledger.new)))
    if starts.pods and not seen.namespace_ready:
        first.append(EnsureNamespace(seen.run.meta.key, starts.pods[0].pod.name))
    first += calls.asks
    saved = keep(seen, now, limits)
    first += [] if saved.write is None else [saved.write]
    # Deletions last: nobody waits for them.
    # guard: page-before-status - a crash after the status but before the page would lose 128 checkpoints
    strays, settled = retention.delete_unneeded(seen)
    answers = [*saved.answers, *decided.driver.actions, *calls.actions]
    return first, [*strays, *answers, *starts.pods, *settled]


def _with_counts(seen: Observed, status: JSONObject, starts: _Starts) -> JSONObject:
    tasks = cast("JSONObject", status.get("tasks") or counts(seen))
    return {**status, "tasks": {**tasks, "queued": starts.queued}}


def _cancel(seen: Observed, ending: Ending, now: float, limits: Limits) -> Plan:
    """A run that is being cancelled: its route goes on, to clean up; the calls that it had made before are given up."""
    seen = pinned(seen)
    run = seen.run
    driver = seen.tasks.get(names.driver_task_name(run.meta.key.name))
    if driver is None:
        return _restore_driver(seen, now)
    if driver.finished:
        return end_run(seen, ending, now)
    ledger, status = commit_cancel(seen, ending, now)
    judged = attempts.decide(seen, driver, now, limits)
    kept = {name: task for name, task in seen.tasks.items() if not _is_given_up(task)}
    calls = judge_calls(seen, kept, now, limits)
    _give_up_calls(seen, calls, now)
    starts = _starts(seen, driver if judged.wants_pod else None, calls, limits)
    first, then = _in_order(seen, _Decided(ledger, status, judged, calls, starts), now, limits)
    over = parse(rfc3339(run.cancelled_at or now)) + cancel_grace(seen)
    return Plan(first, then, attempts.earliest(judged.wake_at, calls.wake_at, over), starts.claim)


def _give_up_calls(seen: Observed, calls: Calls, now: float) -> None:
    """End the calls that a cancelled route had made before: those with pods at once, the rest by and by, so that the
    route's clean-up needn't wait behind thousands of them."""
    under_way = 0
    for name, task in seen.tasks.items():
        if task.finished or task.phase == "Saving" or not _is_given_up(task):
            continue
        if task.pod_name not in seen.pods:
            under_way += 1
            if name in seen.in_flight or task.pod_name in seen.in_flight or under_way > GIVEN_UP_AT_A_TIME:
                continue
        verdict = cancel_call(seen, task, now)
        calls.actions.extend(verdict.actions)
        calls.wake_at = attempts.earliest(calls.wake_at, verdict.wake_at)
        calls.occupied += verdict.occupies


def _is_given_up(task: TaskRecord) -> bool:
    return task.role == "task" and not task.cleanup


@dataclass(frozen=True, slots=True)
class _Starts:
    """The pods to create, and what becomes of the calls that have to wait."""

    pods: Sequence[CreatePod]
    claim: PodDemand
    queued: int = 0
    why: str = ""
    """What the queued ones wait for; empty when there are none."""
    since: float = 0.0
    """Since when one of the first among them waits."""


def _starts(seen: Observed, driver: TaskRecord | None, calls: Calls, limits: Limits) -> _Starts:
    """Pods to create: the driver's first, then tasks in the route's order, as far as there is room for them."""
    if seen.run.suspend and seen.run.cancelled_at is None:
        return _Starts([], PodDemand(calls.occupied + calls.strays, calls.occupied + calls.strays))
    side_by_side = parallelism(seen, limits)
    own = [
        PodQuota(side_by_side - calls.occupied, f"parallelism is {side_by_side}"),
        PodQuota(UNPLACED_PODS - calls.unplaced, f"{UNPLACED_PODS} pods of the run wait for a node already"),
    ]
    alone = min(len(calls.waiting), *(max(room.places or 0, 0) for room in own))
    rooms = own if seen.pod_quota.places is None else [*own, seen.pod_quota]
    tightest = min(rooms, key=lambda room: room.places or 0)
    count = min(alone, max(tightest.places or 0, 0))
    # In the common pass of a large fan-out nothing may start, and thousands needn't be put in order.
    queue = sorted(calls.waiting, key=lambda task: (task.sequence, task.key)) if count else calls.waiting
    chosen, left = queue[:count], queue[count:]
    return _Starts(
        [pods.pod(seen.run, task, limits, seen.state) for task in ([driver] if driver else []) + chosen],
        PodDemand(calls.occupied + calls.strays + count, calls.occupied + calls.strays + alone),
        len(left),
        tightest.why if left else "",
        left[0].meta.created if left else 0.0,
    )


def _restore_driver(seen: Observed, now: float) -> Plan:
    """The run began but its driver's AppTask isn't there: a crash came between, or somebody deleted it.

    The status write before it proves that the run itself still exists; else its owner-less driver would be collected
    and made again without end.
    """
    run = seen.run
    name = names.driver_task_name(run.meta.key.name)
    if name in seen.in_flight:
        return Plan()
    refusal = seen.refusals.get(name)
    if refusal is not None and now < refusal.retry_at:
        said = _report_condition(seen, RunCondition("Stalled", "NameTaken", refusal.message), now)
        return Plan(said.first, wake_at=refusal.retry_at)
    alive = conditions.fields(run, conditions.standing_of(run), now)
    return Plan([patch_run(run, alive)], [pods.driver_task(run, attempts.DRIVER_RETRY)])


def _finish(seen: Observed, driver: TaskRecord, ledger: Commit, now: float) -> Plan:
    """The route has ended: the run ends as it did, once every reported call is committed."""
    run = seen.run
    committing = len(ledger.new)
    ended = sum(1 for task in seen.tasks.values() if task.finished and task.role != "driver")
    first: list[RunAction] = [] if ledger.page is None else [ledger.page]
    if committing < ended:
        return Plan([*first, patch_run(run, ledger.status, commits=committing)])
    status: JSONObject = {"tasks": counts(seen), **ledger.status, "finishedAt": rfc3339(now)}
    if driver.phase == "Succeeded" and driver.continue_with is not None:
        action = successor(run, driver.continue_with)
        refusal = seen.refusals.get(action.successor.name)
        if refusal is not None and now < refusal.retry_at:
            message = f"the run can't go on as AppRun {action.successor.name!r}: {refusal.message}"
            said = _report_condition(seen, RunCondition("Stalled", "ContinuationRefused", message), now)
            return Plan(said.first, wake_at=refusal.retry_at)
        first.append(action)
        message = f"the run goes on as AppRun {action.successor.name!r}"
        status |= conditions.fields(run, RunCondition("Succeeded", "Continued", message), now)
        status["continuedAs"] = action.successor.name
    elif driver.phase == "Succeeded":
        status |= conditions.fields(run, RunCondition("Succeeded", "Succeeded"), now)
        if driver.output is not None:
            status["output"] = driver.output.decode()
    else:
        error = driver.error or {"type": "DriverCancelled", "message": "the driver's AppTask was cancelled by hand"}
        status |= conditions.fields(run, RunCondition("Failed", error["type"], error["message"]), now)
        status["error"] = cast("JSON", error)
    return Plan([*first, patch_run(run, status, commits=committing, exact=True)])
