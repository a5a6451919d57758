"""What a run says of calls that wait: those that can't start, and those whose turn it isn't.

Of the first kind their AppTasks say it before: this sums them up.

One write for each change of the causes. The numbers in it are refreshed whenever the status is
written anyway, and when twice as many calls wait as it says: so they can't cost a write each second
while a quota lets one call in and another out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from application_sdk.wire import waiting
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.call.pod_status import PodBlocked
from apprun_operator.plan.conditions import RunCondition, current_condition, is_written
from apprun_operator.plan.limits import QUEUE_GRACE
from apprun_operator.plan.run.stall import RUNNING

MESSAGES_SHOWN: Final = 3
"""So many causes are shown with the cluster's message, further ones with their reason alone."""


def with_waits(
    observed: Observed,
    condition: RunCondition,
    waits: Sequence[TaskRecord],
    settles_at: float | None,
    writes: bool,
    now: float,
) -> tuple[RunCondition, float | None]:
    """What the status should say when calls wait, and when to look again.

    `waits` are the calls whose AppTasks say what they wait for. While more are about to say so,
    `settles_at` is the moment at which they will have done so.
    """
    if condition != RUNNING or not waits:
        return condition, None
    current = current_condition(observed.run)
    is_told = waiting.is_of_calls(current.message) and current.phase == condition.phase
    summary = _summary(observed, waits, current.reason if is_told else "")
    if settles_at is not None and now < settles_at:
        # Calls that are refused together say so within a second or two. One write for all of them
        # has their number.
        return current if is_told else condition, settles_at
    # guard: waits-no-write-per-count - a number in the message that changes with each call would
    # cost a write each time
    same = is_told and waiting.causes_of(current.message) == waiting.causes_of(summary.message)
    if same and not writes and len(waits) < 2 * max(observed.run.counts.get("waiting", 0), 1):
        return current, None
    return summary, None


def unsaid_since(observed: Observed, task: TaskRecord, blocked: PodBlocked | None) -> float | None:
    """Since when a call waits whose AppTask doesn't say so yet: it hasn't waited for long, or is
    just being written."""
    if blocked is not None:
        return None if blocked.permanent else blocked.since
    if task.meta.key.name not in observed.in_flight:
        return None
    rejection, pod = observed.rejections.get(task.pod_name), observed.pods.get(task.pod_name)
    if rejection is not None:
        return rejection.since
    return pod.meta.created if pod is not None and pod.phase == "Pending" else None


def with_queue(
    observed: Observed, condition: RunCondition, why: str, since: float, writes: bool, now: float
) -> tuple[RunCondition, float | None]:
    """What the status should say of calls that have waited for their turn since then, and when to
    look again.

    That costs no write of its own unless they wait for long: it goes along with the next commit.
    """
    if condition != RUNNING or not why:
        return condition, None
    queued = replace(condition, message=f"calls wait for their turn: {why}")
    due = since + QUEUE_GRACE
    if writes or now >= due or is_written(observed.run, queued):
        return queued, None
    return condition, due


def _summary(observed: Observed, waits: Sequence[TaskRecord], current: str) -> RunCondition:
    """The summary of what calls wait for. The run's reason stays as long as calls wait for it; else
    it is the one that most of them wait for."""
    messages: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    for task in sorted(waits, key=lambda task: task.meta.key.name):
        reason, _, text = task.message.partition(": ")
        reasons[reason] += 1
        messages.setdefault(reason, text)
    reason = current if current in reasons else max(sorted(reasons), key=reasons.__getitem__)
    if len(messages) == 1:
        text = messages[reason]
    else:
        shown = [reason, *sorted(messages.keys() - {reason})][:MESSAGES_SHOWN]
        text = "; ".join(f"{reason}: {messages[reason]}" for reason in shown)
    open_calls = sum(1 for task in observed.tasks.values() if task.role == "task" and not task.finished)
    return RunCondition("Running", reason, waiting.calls_wait(reasons, open_calls, text))
