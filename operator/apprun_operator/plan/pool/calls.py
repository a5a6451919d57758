"""A run's calls in warm pods, as the plan of the run decides about them: which of them may start,
and which attempts have ended. Pure.

A run offers the calls that may start now. The plan of the pool (`plan.pool.reconcile`) chooses the
pods that execute them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from application_sdk.wire import reasons
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.workers import Offer, PoolShape
from apprun_operator.plan.call import pod_status
from apprun_operator.plan.call.attempts import CallDecision, deadline_of, keep_waiting, retry_of
from apprun_operator.plan.call.pod_status import PodBlocked, PodEnded
from apprun_operator.plan.limits import DEADLINE_SLACK, Limits
from apprun_operator.plan.pod import pod_fields, secrets, service_accounts
from apprun_operator.plan.pool.endings import end_call
from apprun_operator.plan.pool.shape import shape_of
from apprun_operator.plan.times import earliest

BEGIN_WITHIN: Final = 60.0
"""Seconds from the assignment of a call after which its `timeout_seconds` begins to count, if its
pod hasn't said when it began the call."""


def decide_warm(observed: Observed, task: TaskRecord, now: float, limits: Limits) -> CallDecision:
    """Decide about an open call in a warm pod, of a run that continues.

    `wants_pod` says that the call may be assigned.
    """
    assigned = bool(task.assigned_uid)
    if task.meta.key.name in observed.in_flight:
        return CallDecision(occupies=assigned)
    ended, due = _ended(observed, task, now, limits)
    if ended is not None:
        return CallDecision([end_call(task, ended, None, now, limits)])
    if assigned:
        return CallDecision(wake_at=due, occupies=True)
    if now < task.not_before:
        return CallDecision(wake_at=earliest(due, task.not_before))
    blocked = None
    for pool, reading in observed.blocked_pools.items():
        if task.reuse is not None and pool == shape_of(observed, task, task.reuse).pool:
            blocked = PodBlocked(reading.reason, reading.message, reading.since, reading.permanent)
    if blocked is not None:
        # The call is offered all the same: without waiting calls the pool would stop trying.
        decision = keep_waiting(task, None, blocked, deadline_of(task), now, limits)
        is_open = not (blocked.permanent and decision.actions)
        return CallDecision(decision.actions, earliest(decision.wake_at, due), wants_pod=is_open, blocked=blocked)
    return CallDecision(wake_at=due, wants_pod=True)


def _ended(observed: Observed, task: TaskRecord, now: float, limits: Limits) -> tuple[PodEnded | None, float | None]:
    """Why the call's attempt has ended, or when its time limit passes."""
    if task.reported_error is not None:
        return pod_status.of_report(task.reported_error, retry_of(task).get("nonRetryable", [])), None
    app = observed.run.app or {}
    undeclared = secrets.undeclared(app, pod_fields.own_secrets(app, task))
    if undeclared:
        return PodEnded("SecretNotDeclared", undeclared, "App", retryable=False), None
    refused = service_accounts.forbidden_account_of(app, task, limits)
    if refused:
        return PodEnded(service_accounts.NOT_ALLOWED, refused, "App", retryable=False), None
    deadline = deadline_of(task)
    if deadline is not None and now >= deadline:
        message = f"the call took longer than schedule_to_close_seconds ({deadline - task.meta.created:g} s)"
        return PodEnded(reasons.TIMED_OUT, message, "App", retryable=False), None
    timeout = None if task.policy is None else task.policy.get("timeoutSeconds")
    if timeout is None or not task.assigned_uid:
        return None, deadline
    # The pod enforces this limit itself. This is for a pod that doesn't.
    overdue_at = (task.started_at or task.assigned_at + BEGIN_WITHIN) + timeout + DEADLINE_SLACK
    if task.started_at and now >= overdue_at:
        return PodEnded(reasons.TIMED_OUT, "the call ran longer than timeout_seconds", "App"), None
    return None, earliest(deadline, overdue_at if overdue_at > now else None)


def offers_of(observed: Observed, tasks: Sequence[TaskRecord]) -> list[Offer]:
    """Offer these calls, each to the pool that its shape identifies."""
    shapes: dict[str, PoolShape] = {}
    offers: list[Offer] = []
    for task in tasks:
        if task.reuse is None:
            continue
        # Making a shape takes a digest, and the calls of a fan-out share one.
        template = repr((task.task, task.pod, task.reuse, task.source_digest))
        if template not in shapes:
            shapes[template] = shape_of(observed, task, task.reuse)
        offers.append(Offer(observed.run.meta.key, task.meta.key.name, task.meta.uid, task.attempt, shapes[template]))
    return offers
