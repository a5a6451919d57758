"""`plan(observed, now, limits) -> Plan`: everything that the operator decides about one run, as a
table of contents.

It is level-triggered: it looks at the state, never at events. After a crash between two actions the
next plan asks for what is still missing.
"""

from __future__ import annotations

from dataclasses import replace

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan import conditions
from apprun_operator.plan.actions import EnsureNamespace, FetchPage, FetchTask, PatchRun, Plan, RunAction
from apprun_operator.plan.call import attempts
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.events import announcement
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pod import pods
from apprun_operator.plan.run import restored, retention
from apprun_operator.plan.run.advance import advance
from apprun_operator.plan.run.app_resolution import resolve
from apprun_operator.plan.run.cancel import may_clean_up
from apprun_operator.plan.run.commit import counts
from apprun_operator.plan.run.finish import Ending, due_to_end, end_run, route_ending
from apprun_operator.plan.run.preconditions import Unresolved
from apprun_operator.plan.run.stray_pods import remaining_demand
from apprun_operator.plan.status_patch import patch_condition, patch_run
from apprun_operator.plan.times import earliest


def plan(observed: Observed, now: float, limits: Limits) -> Plan:
    """What to do for this run, now. The same input gives the same plan."""
    decided = _decide(observed, now, limits)
    events = [announcement(observed.run, action, now) for action in decided.first if isinstance(action, PatchRun)]
    return replace(decided, first=[*decided.first, *filter(None, events)]) if any(events) else decided


def _decide(observed: Observed, now: float, limits: Limits) -> Plan:
    run = observed.run
    if run.meta.deleting:
        demand, released_at = remaining_demand(run.meta.key.name, observed.pods.values(), now)
        return Plan(wake_at=released_at, demand=demand)
    if run.problem:
        marks = conditions.unreadable(run, now)
        return Plan(first=[patch_run(run, marks)] if marks else [])
    if run.finished:
        return _clean_up(observed, now)
    if (hold := restored.hold_condition(run)) is not None:
        return Plan(patch_condition(run, hold, now))
    ending, deadline = due_to_end(run, now)
    unreadable = _unreadable_part(observed)
    damage = unreadable or _damage(observed)
    if ending is not None and (damage or not (observed.missing_pages or may_clean_up(observed, now))):
        return end_run(observed, ending, now)
    if damage:
        reason = "Unreadable" if unreadable else "LedgerUnreadable"
        return Plan(patch_condition(run, RunCondition("Stalled", reason, damage), now))
    # Nothing is decided before all of the run's past is known: an open call may be a committed one.
    if observed.missing_pages:
        return Plan([FetchPage(run.meta.key, page) for page in observed.missing_pages])
    if observed.unseen_tasks:
        return Plan([FetchTask(run.meta.key, name) for name in observed.unseen_tasks])
    if ending is not None:
        return _continue(observed, ending, now, limits)
    decided = _continue(observed, None, now, limits) if run.began else _begin(observed, now, limits)
    return replace(decided, wake_at=earliest(decided.wake_at, deadline))


def _clean_up(observed: Observed, now: float) -> Plan:
    """A finished run keeps the places of its pods until they are gone, and demands no others."""
    unfinished = [pod for pod in observed.pods.values() if pod.task not in observed.committed_tasks]
    demand, released_at = remaining_demand(observed.run.meta.key.name, unfinished, now)
    decided = retention.clean_up(observed, now)
    return replace(decided, demand=demand, wake_at=earliest(decided.wake_at, released_at))


def _unreadable_part(observed: Observed) -> str:
    """Which part of the run can't be read, as text; empty if all can. Nothing about the run is done
    until then."""
    if not observed.unreadable:
        return ""
    name, problem = min(observed.unreadable.items())
    return f"this version of the operator can't read {name}: {problem}. The run is left alone until that is corrected"


def _damage(observed: Observed) -> str:
    """What is wrong with the run's past, of which somebody deleted, altered or added a part; empty
    if nothing is."""
    for number in observed.missing_pages:
        if number in observed.lost_pages:
            # Without the page a committed call might be taken for an open one.
            name = names.page_name(observed.run.meta.key.name, number)
            return f"AppLedger {name} is gone, and with it a part of what this run has done: start a new run"
    for name in observed.unseen_tasks:
        if name in observed.lost_tasks:
            return f"AppTask {name} is gone, and with it the result of a committed call: start a new run"
        if name in observed.altered_tasks:
            return (
                f"AppTask {name} was altered: it isn't what the ledger has committed. Put it back, or start a new run"
            )
    return restored.planted(observed)


def _begin(observed: Observed, now: float, limits: Limits) -> Plan:
    """The first status write and the driver's AppTask, or what a person has to do before."""
    run = observed.run
    if run.suspend:
        suspended = RunCondition("Suspended", "Suspended", "spec.suspend is set: nothing was started")
        return Plan(patch_condition(run, suspended, now))
    app = resolve(observed, now, limits)
    if isinstance(app, Unresolved):
        if app.until is not None:
            return Plan(wake_at=app.until)
        return Plan(
            patch_condition(run, RunCondition("Pending" if app.waits else "Stalled", app.reason, app.message), now)
        )
    if (marking := restored.mark(observed, now)) is not None:
        return marking
    # One write says that the run began, and with which app. After a crash behind it the run has
    # begun and has no driver: the next plan creates the driver's AppTask.
    status: JSONObject = {
        **conditions.fields(run, RunCondition("Running", "Running"), now),
        "startedAt": rfc3339(now),
        "app": app,
        "tasks": counts(observed),
    }
    first: list[RunAction] = [patch_run(run, status)]
    if not observed.namespace_ready:
        driver = names.driver_task_name(run.meta.key.name)
        first.append(EnsureNamespace(run.meta.key, names.pod_name(driver, 1, run.meta.uid)))
    return Plan(first, [pods.driver_task(run, attempts.DRIVER_RETRY)])


def _continue(observed: Observed, ending: Ending | None, now: float, limits: Limits) -> Plan:
    """A run that has begun: its route goes on, or cleans up for `ending`, or has ended."""
    driver = observed.driver
    if driver is None:
        return _restore_driver(observed, now)
    if driver.finished:
        return end_run(observed, ending or route_ending(observed.run, driver), now)
    return advance(observed, driver, ending, now, limits)


def _restore_driver(observed: Observed, now: float) -> Plan:
    """The run began but has no driver: a crash came between, or somebody deleted the driver's
    AppTask.

    The status write comes first, since it fails if the run itself is gone. Without it the driver's
    AppTask would be created, deleted by the garbage collector, and created again without end.
    """
    run = observed.run
    name = names.driver_task_name(run.meta.key.name)
    if name in observed.in_flight:
        return Plan()
    rejection = observed.rejections.get(name)
    if rejection is not None and now < rejection.retry_at:
        stalled = RunCondition("Stalled", "NameTaken", rejection.message)
        return Plan(patch_condition(run, stalled, now), wake_at=rejection.retry_at)
    unchanged = conditions.fields(run, conditions.current_condition(run), now)
    return Plan([patch_run(run, unchanged)], [pods.driver_task(run, attempts.DRIVER_RETRY)])
