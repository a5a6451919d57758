"""Pods that can't start, made again: pull secrets and what admission webhooks add are fixed when a
pod is created, so one that waits for either would wait without end, whatever is corrected
meanwhile.

The attempt ends, charged to nobody, and the next one's pod is created at once. Meanwhile the call
stays `Waiting`. The pods of one wait are a series in the attempts' history; each is given twice the
time of the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from application_sdk.wire.containers import INIT_CONTAINER_FAILED
from application_sdk.wire.fields import AttemptFields
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse
from apprun_operator.plan.call.pod_status import IMAGE_PULL_FAILED, PERMANENT_IMAGE_REASONS, PodBlocked, PodEnded
from apprun_operator.plan.limits import FAILED_POD_RETRY, HELD_POD_RETRY, LAST_POD_RETRY, Limits

REASONS: Final = frozenset({IMAGE_PULL_FAILED, INIT_CONTAINER_FAILED})
"""Holds that a new pod may end where the one that is there can't."""


def series(history: Sequence[AttemptFields]) -> list[AttemptFields]:
    """The latest attempts, as far as they ended because their pods couldn't start; the first of
    them first."""
    return list(takewhile(_unstarted, reversed(history)))[::-1]


def blocked_or_replaced(
    task: TaskRecord, pod: PodRecord, blocked: PodBlocked, now: float, limits: Limits
) -> PodBlocked | PodEnded:
    """What a blocked pod leads to: it waits on, it is replaced, or the whole wait was too long."""
    if blocked.reason not in REASONS or pod.waiting_reason in PERMANENT_IMAGE_REASONS:
        return blocked
    before = series(task.attempts)
    since = min([blocked.since, *(parse(entry["startedAt"]) for entry in before[:1] if "startedAt" in entry)])
    expires = since + limits.pending_timeout if blocked.reason == IMAGE_PULL_FAILED else None
    expired = expires is not None and now > expires
    blocked = replace(blocked, since=since, permanent=blocked.permanent or expired)
    if blocked.permanent and task.role == "task":
        return blocked
    first = FAILED_POD_RETRY if pod.ended else HELD_POD_RETRY
    again = pod.pending_since + min(first * 2.0 ** len(before), LAST_POD_RETRY)
    # guard: restart-backoff - pods that can't start would be created in a tight loop
    if now >= again:
        return PodEnded(blocked.reason, blocked.message, "None")
    due = [time for time in (again, blocked.wake_at, expires) if time is not None and time > now]
    return replace(blocked, wake_at=min(due))


def still_blocked(task: TaskRecord, pod: PodRecord | None) -> PodBlocked | None:
    """What the call has waited for, while a new pod hasn't shown yet that this is over."""
    before = series(task.attempts)
    if not before or (pod is not None and not pod.starting):
        return None
    since = parse(before[0]["startedAt"]) if "startedAt" in before[0] else task.meta.created
    return PodBlocked(before[-1]["reason"], before[-1].get("message", ""), since)


def _unstarted(entry: AttemptFields) -> bool:
    return entry["budget"] == "None" and entry["reason"] in REASONS
