"""Decides about all open calls of a run: what to do, which need a pod, and what they wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from application_sdk.wire import reasons
from application_sdk.wire.waiting import is_told
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.actions import FetchPodEvent, ItemAction
from apprun_operator.plan.call import attempts
from apprun_operator.plan.limits import EVENT_READS_AT_A_TIME, LONGEST_SETTLE, WAITING_GRACE, WAITS_SETTLE, Limits
from apprun_operator.plan.pod import pod_fields, service_accounts
from apprun_operator.plan.pool.calls import decide_warm
from apprun_operator.plan.run.stray_pods import occupancy, stray_pods
from apprun_operator.plan.run.waiting import unsaid_since
from apprun_operator.plan.times import earliest


@dataclass(slots=True)
class Calls:
    """The sum of the decisions about the open calls."""

    actions: list[ItemAction] = field(default_factory=list)
    waiting: list[TaskRecord] = field(default_factory=list)
    waits: list[TaskRecord] = field(default_factory=list)
    """Those whose AppTasks say what they wait for."""
    untold_since: float | None = None
    """Since when the first of those waits whose reason the run doesn't tell."""
    unsaid_since: float | None = None
    """Since when the first of those waits whose AppTask is about to say so."""
    occupied: int = 0
    warm: int = 0
    """Those among them that are executed in warm pods, which count for their pool."""
    offered: list[TaskRecord] = field(default_factory=list)
    """Calls that wait for a place in a warm pod."""
    strays: int = 0
    """Pods beside those that occupy a place too: they count against the operator's limits, not the
    run's own."""
    unplaced: int = 0
    """Pods among them that have no node yet, whether or not the scheduler has looked at them."""
    fetches: list[FetchPodEvent] = field(default_factory=list)
    wake_at: float | None = None

    @property
    def pods(self) -> int:
        """Task pods that count for the run against the operator's limits."""
        return self.occupied - self.warm + self.strays


def settles_at(calls: Calls) -> float | None:
    """When the calls that are about to say what they wait for have said so; None if there are none.

    While new calls begin to wait all the time, it is when the first call has waited long enough
    whose reason the run doesn't mention yet.
    """
    if calls.unsaid_since is None:
        return None
    settled = calls.unsaid_since + WAITING_GRACE + WAITS_SETTLE
    # guard: waits-settle-bounded - calls that start to wait all the time would postpone the message
    # without end
    return settled if calls.untold_since is None else min(settled, calls.untold_since + LONGEST_SETTLE)


def _without_abandoned(
    observed: Observed, tasks: Mapping[str, TaskRecord], calls: Calls, now: float
) -> Mapping[str, TaskRecord]:
    """End the calls that the driver no longer waits for, and return the others.

    The write has the version that it rests on, so a report that came first wins. Once the end is
    committed, the pod is deleted like that of any committed call.
    """
    driver = observed.driver
    if driver is None or not driver.abandoned:
        return tasks
    open_ones = {
        name: task
        for name, task in tasks.items()
        if task.key in driver.abandoned and task.role == "task" and not task.finished and task.phase != "Saving"
    }
    why = "the route no longer waits for this call"
    for name, task in sorted(open_ones.items()):
        if name not in observed.in_flight and task.pod_name not in observed.in_flight:
            pod = observed.pods.get(task.pod_name)
            calls.actions.append(attempts.cancel(task, why, now, pod, reasons.ABANDONED))
    return {name: task for name, task in tasks.items() if name not in open_ones}


def _is_unplaced(observed: Observed, task: TaskRecord) -> bool:
    """Whether the pod of this attempt, known or just being created, has no node yet."""
    pod = observed.pods.get(task.pod_name)
    return task.pod_name in observed.in_flight if pod is None else pod.unplaced


def decide_calls(observed: Observed, tasks: Mapping[str, TaskRecord], now: float, limits: Limits) -> Calls:
    calls = Calls()
    tasks = _without_abandoned(observed, tasks, calls, now)
    disturbed: list[str] = []
    app = observed.run.app or {}
    app_account, with_secrets = app.get("serviceAccountName"), pod_fields.with_own_secrets(app)
    startable = not service_accounts.forbidden_account(app_account, observed.run.meta.key.namespace, limits)
    for name, task in tasks.items():
        # The common cases first: with thousands of calls this loop is what a plan costs.
        # guard: account-allowed - the pod would run with rights that only AppRun's own accounts
        # have
        if task.is_first_healthy_attempt and startable and task.task not in with_secrets:
            pod = observed.pods.get(task.pod_name)
            if pod is None and task.pod_name not in observed.rejections:
                if task.pod_name in observed.in_flight:
                    calls.occupied += 1
                    calls.unplaced += 1
                else:
                    calls.waiting.append(task)
                continue
            if pod is not None and pod.healthy:
                slow = None if pod.running else pod.pending_since + limits.pending_timeout
                if slow is None or now < slow:
                    calls.occupied += 1
                    calls.unplaced += pod.unplaced
                    calls.wake_at = earliest(calls.wake_at, slow)
                    continue
        if not task.finished and task.role != "driver" and task.phase != "Saving":
            disturbed.append(name)
    for name in sorted(disturbed):
        task = tasks[name]
        if task.role == "timer":
            fired, due = attempts.fire_timer(task, now)
            calls.wake_at = earliest(calls.wake_at, due)
            if fired is not None and name not in observed.in_flight:
                calls.actions.append(fired)
            continue
        decide = attempts.decide if task.reuse is None else decide_warm
        decision = decide(observed, task, now, limits)
        if task.phase == "Waiting":
            calls.waits.append(task)
            if decision.blocked is not None and not is_told(observed.run.message, decision.blocked.reason):
                calls.untold_since = earliest(calls.untold_since, decision.blocked.since)
        else:
            calls.unsaid_since = earliest(calls.unsaid_since, unsaid_since(observed, task, decision.blocked))
        calls.actions.extend(decision.actions)
        calls.wake_at = earliest(calls.wake_at, decision.wake_at)
        calls.occupied += decision.occupies
        calls.warm += decision.occupies and task.reuse is not None
        calls.unplaced += decision.occupies and task.reuse is None and _is_unplaced(observed, task)
        if decision.fetch is not None and len(calls.fetches) < EVENT_READS_AT_A_TIME:
            calls.fetches.append(decision.fetch)
        if decision.wants_pod:
            (calls.waiting if task.reuse is None else calls.offered).append(task)
    # guard: strays-occupy - runs together would have more pods than the limits allow until the
    # strays are gone
    calls.strays, released_at = occupancy(observed.run.meta.key.name, stray_pods(observed), now)
    calls.wake_at = earliest(calls.wake_at, released_at)
    return calls
