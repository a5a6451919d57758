"""What a run says of calls that wait: those that can't start, and those whose turn it isn't.

Of the first kind their AppTasks say it before: this sums them up.

One write for each change of the causes. The numbers in it are refreshed whenever the status is written anyway, and when
twice as many calls wait as it says: so they can't cost a write each second while a quota lets one call in and another
out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from application_sdk.wire import waiting
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.conditions import RunCondition, is_written, standing_of
from apprun_operator.plan.limits import QUEUE_GRACE
from apprun_operator.plan.run.pod_status import PodBlocked
from apprun_operator.plan.run.stall import RUNNING

WORDS_FOR: Final = 3
"""So many causes are told in the cluster's own words; further ones by their reason alone."""


def with_waits(
    seen: Observed,
    wanted: RunCondition,
    waits: Sequence[TaskRecord],
    settles_at: float | None,
    writes: bool,
    now: float,
) -> tuple[RunCondition, float | None]:
    """What the status should say when calls wait, and when to look again.

    `waits` are the calls whose AppTasks say what they wait for. While more are about to say so, `settles_at` is
    the moment at which they will have done so.
    """
    if wanted != RUNNING or not waits:
        return wanted, None
    said = standing_of(seen.run)
    told = waiting.is_of_calls(said.message) and said.phase == wanted.phase
    summary = _summary(seen, waits, said.reason if told else "")
    if settles_at is not None and now < settles_at:
        # Calls that are refused together say so within a second or two. One write for all of them has their number.
        return said if told else wanted, settles_at
    # guard: waits-no-write-per-count - a number in the message that changes with each call would cost a write each time
    same = told and waiting.causes_of(said.message) == waiting.causes_of(summary.message)
    if same and not writes and len(waits) < 2 * max(seen.run.counts.get("waiting", 0), 1):
        return said, None
    return summary, None


def unsaid_since(seen: Observed, task: TaskRecord, held: PodBlocked | None) -> float | None:
    """Since when a call waits whose AppTask doesn't say so yet: it hasn't waited for long, or is just being written."""
    if held is not None:
        return None if held.permanent else held.since
    if task.meta.key.name not in seen.in_flight:
        return None
    refusal, pod = seen.refusals.get(task.pod_name), seen.pods.get(task.pod_name)
    if refusal is not None:
        return refusal.since
    return pod.meta.created if pod is not None and pod.phase == "Pending" else None


def with_queue(
    seen: Observed, wanted: RunCondition, why: str, since: float, writes: bool, now: float
) -> tuple[RunCondition, float | None]:
    """What the status should say of calls that have waited for their turn since then, and when to look again.

    That costs no write of its own unless they wait for long: it goes along with the next commit.
    """
    if wanted != RUNNING or not why:
        return wanted, None
    queued = replace(wanted, message=f"calls wait for their turn: {why}")
    due = since + QUEUE_GRACE
    if writes or now >= due or is_written(seen.run, queued):
        return queued, None
    return wanted, due


def _summary(seen: Observed, waits: Sequence[TaskRecord], said: str) -> RunCondition:
    """The reason that is told stays as long as calls wait for it; else it is the one that most of them wait for."""
    words: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    for task in sorted(waits, key=lambda task: task.meta.key.name):
        reason, _, text = task.message.partition(": ")
        reasons[reason] += 1
        words.setdefault(reason, text)
    reason = said if said in reasons else max(sorted(reasons), key=lambda one: reasons[one])
    if len(words) == 1:
        text = words[reason]
    else:
        shown = [reason, *sorted(words.keys() - {reason})][:WORDS_FOR]
        text = "; ".join(f"{one}: {words[one]}" for one in shown)
    open_calls = sum(1 for task in seen.tasks.values() if task.role == "task" and not task.finished)
    return RunCondition("Running", reason, waiting.calls_wait(reasons, open_calls, text))
