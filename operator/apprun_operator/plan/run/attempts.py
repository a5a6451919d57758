"""Plans one open task call: its pod, its next attempt, its failure. `plan.run.reconcile` asks for each call in turn.

A function of one AppTask and what is known of its pods; it neither counts other calls nor touches the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, cast

from application_sdk.wire import logs, reasons
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import CANCELLED, MAX_SECONDS, AttemptFields, ErrorFields, RetryFields
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import FetchWords, ItemAction, PatchTask
from apprun_operator.plan.limits import (
    MOUNT_GRACE,
    STALL_FIRST_RETRY,
    STALL_LAST_RETRY,
    WAITING_GRACE,
    WORDS_SECONDS,
    YOUNG,
    Limits,
)
from apprun_operator.plan.pod import secrets, service_accounts
from apprun_operator.plan.pod.image_pinning import image_of
from apprun_operator.plan.run import pod_replacement, pod_status
from apprun_operator.plan.run.pod_status import PodBlocked, PodEnded, PodHealthy, Reading

DEFAULT_RETRY: Final = RetryFields(
    maxAttempts=3, initialIntervalSeconds=1.0, maxIntervalSeconds=60.0, backoffCoefficient=2.0
)
DRIVER_RETRY: Final = RetryFields(
    maxAttempts=5, initialIntervalSeconds=1.0, maxIntervalSeconds=60.0, backoffCoefficient=2.0
)
"""For drivers that die without a report. What the route itself raises is never tried again: it would raise it again."""
FREE_DISRUPTIONS: Final = 3
"""So many disruptions of a call are answered at once; later ones wait, so that a sick cluster isn't hammered."""
DISRUPTION_PAUSE: Final = 5.0
LONGEST_WORDS: Final = 16 * 1024
"""Characters of what the cluster says of an attempt: half a log may stand in a pod's message."""
KEPT_UNCHARGED: Final = 8
"""So many of the attempts that nobody is charged for stay in the history: a stalled run retries for weeks."""


@dataclass(frozen=True, slots=True)
class CallDecision:
    """What to do about one call. At most one of `wants_pod` and `occupies` holds: it needs a slot, or it has one."""

    actions: Sequence[ItemAction] = ()
    wake_at: float | None = None
    wants_pod: bool = False
    occupies: bool = False
    held: PodBlocked | None = None
    asks: FetchWords | None = None
    """Kubelet is to be asked what the pod waits for."""


def decide(seen: Observed, task: TaskRecord, now: float, limits: Limits) -> CallDecision:
    """Decide about an open call, driver or task, whose run goes on."""
    name = task.meta.key.name
    pod = seen.pods.get(task.pod_name)
    if name in seen.in_flight or task.pod_name in seen.in_flight:
        return CallDecision(occupies=True)
    reading = _read(seen, task, pod, now, limits)
    deadline = _deadline(task)
    if deadline is not None and now >= deadline and not isinstance(reading, PodEnded):
        reading = PodEnded(
            reasons.TIMED_OUT,
            f"the call took longer than schedule_to_close_seconds ({deadline - task.meta.created:g} s)",
            "App",
            False,
        )
    if isinstance(reading, PodEnded):
        held = None
        if task.role == "driver" and reading.reason in pod_status.FAULTS_OF_THE_SURROUNDINGS:
            # A further attempt ends like this one, so the run has to wait for a person.
            reading = replace(reading, budget="None", stall="LoadFailed", retryable=True)
            held = PodBlocked(reading.reason, reading.message, now, permanent=True)
        elif reading.budget == "None" and reading.reason in pod_replacement.REASONS:
            held = PodBlocked(reading.reason, reading.message, task.meta.created)
        return CallDecision([end_attempt(task, reading, pod, now, limits)], held=held)
    asks, wake_for_words = _what_to_ask(seen, pod, now)
    if isinstance(reading, PodBlocked):
        verdict = _hold(task, pod, reading, deadline, now, limits)
        return replace(verdict, asks=asks, wake_at=earliest(verdict.wake_at, wake_for_words))
    actions: list[ItemAction] = []
    held = pod_replacement.still_held(task, pod)
    if task.phase == "Waiting" and pod is not None and held is None:
        actions.append(
            _patch(task, {"phase": "Active", "message": _attempts_summary(task, task.attempts, limits) or None})
        )
    wake_at = earliest(reading.wake_at, deadline)
    if pod is not None:
        return CallDecision(actions, earliest(wake_at, wake_for_words), occupies=True, held=held, asks=asks)
    if now < task.not_before and not _stall_is_over(seen, task):
        return CallDecision(actions, earliest(wake_at, task.not_before), held=held)
    return CallDecision(actions, wake_at, wants_pod=True, held=held)


def _read(seen: Observed, task: TaskRecord, pod: PodRecord | None, now: float, limits: Limits) -> Reading:
    reported = task.reported_error
    if reported is not None:
        retry = _retry(task)
        ended = pod_status.of_report(reported, retry.get("nonRetryable", []))
        # A route is deterministic: what it raised it would raise again. Only a stall is worth another attempt.
        return ended if task.role == "task" else replace(ended, retryable=ended.stall is not None)
    if pod is not None and pod.meta.owner_uid == task.meta.uid:
        reading = pod_status.of_pod(pod, now, limits)
        if isinstance(reading, PodBlocked) and _corrected(seen, task, pod):
            return PodEnded(reasons.CORRECTED, "the app was corrected", "None")
        if isinstance(reading, PodBlocked):
            return pod_replacement.held_or_made_again(task, pod, reading, now, limits)
        return _mounting(seen, pod, now, limits) or reading
    if pod is not None and not pod.gone:
        # Somebody deleted the AppTask, and the driver called it again. Its pod goes by itself, on a lost node never.
        where = f" on node {pod.node}" if pod.node else ""
        message = f"pod {pod.meta.key.name!r} of this call's AppTask that was deleted is still there{where}"
        return PodBlocked("PodTerminating", f"{message}: waiting until it is gone", task.seen_at)
    undeclared = secrets.undeclared(seen.run.app or {}, task.pod.get("secrets"))
    if undeclared:
        return PodEnded("SecretNotDeclared", undeclared, "App", retryable=False)
    account_refused = service_accounts.refused_for(seen.run.app or {}, task, limits)
    if account_refused:
        return PodEnded(service_accounts.NOT_ALLOWED, account_refused, "App", retryable=False)
    refusal = seen.refusals.get(task.pod_name)
    if refusal is not None and now < refusal.retry_at:
        return pod_status.of_refusal(refusal, now, limits)
    return PodHealthy()


def _mounting(seen: Observed, pod: PodRecord, now: float, limits: Limits) -> PodBlocked | None:
    """What a pod waits for that says nothing itself, if kubelet said it."""
    words = seen.pod_events.get(pod.meta.key.name)
    if words is None or not words.message or not (pod.mounts and pod.starting):
        return None
    reason, message = secrets.explained(words.message, pod.meta.key.namespace)
    since = pod.meta.created
    return PodBlocked(reason, message, since, now - since > limits.pending_timeout, since + limits.pending_timeout)


def _what_to_ask(seen: Observed, pod: PodRecord | None, now: float) -> tuple[FetchWords | None, float | None]:
    """Whether kubelet is to be asked why a pod doesn't start, and otherwise when."""
    if pod is None or not pod.mounts or not pod.starting or pod.deletion_at is not None:
        return None, None
    words = seen.pod_events.get(pod.meta.key.name)
    if words is None:
        due = pod.meta.created + MOUNT_GRACE
    else:
        soon = not words.message and words.read_at < pod.meta.created + YOUNG
        due = words.read_at + (MOUNT_GRACE if soon else WORDS_SECONDS)
    if now < due:
        return None, due
    return FetchWords(seen.run.meta.key, pod.meta.key.name, pod.meta.uid), None


def end_attempt(task: TaskRecord, ended: PodEnded, pod: PodRecord | None, now: float, limits: Limits) -> PatchTask:
    """Answer an attempt that is over: with the next one, or with the call's failure.

    The write has the version that the decision rests on: a report that came meanwhile makes it fail, and wins.
    """
    history = [*_trimmed(task.attempts), _history_entry(task, ended, pod, now)]
    charged = sum(1 for entry in history if entry["budget"] == ended.budget)
    retry = _retry(task)
    budget = {"App": retry["maxAttempts"], "Disruption": limits.disruption_budget + 1, "None": len(history) + 1}[
        ended.budget
    ]
    attempts = cast("JSON", history)
    log = _log(task, ended, pod)
    message = _attempts_summary(task, history, limits)
    pause = _pause(ended, history, charged, retry)
    deadline = _deadline(task)
    too_late = deadline is not None and now + pause >= deadline
    if not ended.retryable or charged >= budget or too_late:
        return _patch(
            task,
            {
                "phase": "Failed",
                "attempts": attempts,
                **log,
                "error": cast("JSON", _error(task, ended, charged if charged >= budget else 0)),
                "finishedAt": rfc3339(now),
                "message": message,
            },
        )
    waits = task.role == "task" and ended.budget == "None" and ended.reason in pod_replacement.REASONS
    return _patch(
        task,
        {
            "phase": "Waiting" if waits else "Active",
            "attempt": task.attempt + 1,
            "attempts": attempts,
            **log,
            "notBefore": rfc3339(now + pause) if pause else None,
            "message": f"{ended.reason}: {ended.message}" if waits else message,
            # What the driver before it has said of itself is not true of the next one.
            **({"startedAt": None, "progress": None} if task.role == "driver" else {}),
        },
    )


def cancel(task: TaskRecord, why: str, now: float, pod: PodRecord | None = None, reason: str = CANCELLED) -> PatchTask:
    """End an open call that nobody waits for any more. An attempt of it that was under way is charged to nobody."""
    status: JSONObject = {"phase": "Cancelled", "error": {"type": CANCELLED, "message": why}}
    if pod is not None:
        ended = PodEnded(reason, why, "None", exit_code=pod.exit_code)
        status["attempts"] = cast("JSON", [*_trimmed(task.attempts), _history_entry(task, ended, pod, now)])
    return _patch(task, {**status, "finishedAt": rfc3339(now), "message": None})


def fire_timer(task: TaskRecord, now: float) -> tuple[PatchTask | None, float | None]:
    """A timer's end when it is due, else when it will be.

    Creation times are cut to whole seconds. A sleep must never be short, so it counts from when the operator saw the
    object, or from the end of that second when an earlier operator had seen it. One that was restored is as young as
    the import, which has written when the timer is due.
    """
    # guard: restored-timer - a restored sleep ends when the original would have
    due = task.not_before or min(task.seen_at, task.meta.created + 1.0) + task.seconds
    if now < due:
        return None, due
    return _patch(task, {"phase": "Succeeded", "finishedAt": rfc3339(now)}), None


def _hold(
    task: TaskRecord,
    pod: PodRecord | None,
    held: PodBlocked,
    deadline: float | None,
    now: float,
    limits: Limits,
) -> CallDecision:
    if held.permanent and task.role == "task":
        ended = PodEnded(held.reason, held.message, "App", retryable=False)
        return CallDecision([end_attempt(task, ended, pod, now, limits)])
    # A driver waits on when its time is over: that is no reason to look at it again and again.
    wake_at = earliest(held.wake_at if held.wake_at is not None and held.wake_at > now else None, deadline)
    actions: list[ItemAction] = []
    if task.role == "task" and now >= held.since + WAITING_GRACE:
        if task.phase != "Waiting" or not task.message.startswith(held.reason):
            actions.append(_patch(task, {"phase": "Waiting", "message": f"{held.reason}: {held.message}"}))
    elif task.role == "task":
        wake_at = earliest(wake_at, held.since + WAITING_GRACE)
    return CallDecision(actions, wake_at, occupies=pod is not None, held=held)


def _corrected(seen: Observed, task: TaskRecord, pod: PodRecord) -> bool:
    """Whether a held driver's pod asks for an image that the run, resolved anew, doesn't want any more."""
    app = seen.run.app or {}
    # guard: image-as-requested - a webhook may rewrite images to a mirror
    return task.role == "driver" and pod.asked_image not in (app.get("image"), image_of(app))


def _stall_is_over(seen: Observed, task: TaskRecord) -> bool:
    """Whether the backoff of a stalled driver has lost its reason: the run was corrected and isn't stalled any more."""
    after_stall = bool(task.attempts) and _stalled(task.attempts[-1])
    return task.role == "driver" and after_stall and seen.run.phase != "Stalled"


def _retry(task: TaskRecord) -> RetryFields:
    if task.role == "driver":
        return DRIVER_RETRY
    declared = task.policy.get("retry") if task.policy else None
    return DEFAULT_RETRY if declared is None else {**DEFAULT_RETRY, **declared}


def _deadline(task: TaskRecord) -> float | None:
    limit = None if task.policy is None else task.policy.get("scheduleToCloseSeconds")
    return None if limit is None else task.meta.created + limit


def _trimmed(attempts: Sequence[AttemptFields]) -> list[AttemptFields]:
    uncharged = [entry["attempt"] for entry in attempts if entry["budget"] == "None"]
    # The first pod of a wait says how long it has lasted.
    began = {entry["attempt"] for entry in pod_replacement.series(attempts)[:1]}
    dropped = set(uncharged[:-KEPT_UNCHARGED]) - began
    return [entry for entry in attempts if entry["attempt"] not in dropped]


def _history_entry(task: TaskRecord, ended: PodEnded, pod: PodRecord | None, now: float) -> AttemptFields:
    entry = AttemptFields(attempt=task.attempt, reason=ended.reason, budget=ended.budget, message=ended.message[:1024])
    node = task.node or (pod.node if pod is not None else "")
    if node:
        entry["node"] = node
    if ended.exit_code is not None:
        entry["exitCode"] = ended.exit_code
    if pod is not None:
        entry["startedAt"] = rfc3339(pod.running_since or pod.meta.created)
    entry["finishedAt"] = rfc3339(now)
    return entry


def _log(task: TaskRecord, ended: PodEnded, pod: PodRecord | None) -> JSONObject:
    """What kubelet kept of the output of an attempt that couldn't report. One that could sent its log along."""
    text = pod.exit_message.strip() if pod is not None and ended.error is None else ""
    return {"log": {"attempt": task.attempt, "tail": logs.tail(text)}} if text else {}


def _attempts_summary(task: TaskRecord, history: Sequence[AttemptFields], limits: Limits) -> str:
    """The attempts that ended, in one line: `App 1/3: OOMKilled; Disruption 4/20: NodeLost ×3, Evicted`."""
    allowed = {"App": f"/{_retry(task)['maxAttempts']}", "Disruption": f"/{limits.disruption_budget}", "None": ""}
    parts = []
    for budget, bound in allowed.items():
        reasons = Counter(entry["reason"] for entry in history if entry["budget"] == budget)
        if reasons:
            listed = ", ".join(reason if count == 1 else f"{reason} ×{count}" for reason, count in reasons.items())
            parts.append(f"{budget} {reasons.total()}{bound}: {listed}")
    return "; ".join(parts)


def _stalled(entry: AttemptFields) -> bool:
    return entry["budget"] == "None" and entry["reason"] not in (
        reasons.CORRECTED,
        CANCELLED,
        reasons.ABANDONED,
        *pod_replacement.REASONS,
    )


def _error(task: TaskRecord, ended: PodEnded, too_many: int) -> ErrorFields:
    """The failure that the route will see: the attempt's own words when it had any, else the cluster's."""
    if ended.error is not None:
        return ended.error
    message = ended.message
    if ended.budget == "Disruption" and too_many:
        message = f"{message}; {too_many} disruptions of this call are more than the operator's budget"
    return ErrorFields(
        type=ended.reason, message=message[:LONGEST_WORDS], attempt=task.attempt, retryable=ended.retryable
    )


def _pause(ended: PodEnded, history: Sequence[AttemptFields], charged: int, retry: RetryFields) -> float:
    """Seconds until the next attempt may start."""
    if ended.stall:
        stalls = len(list(takewhile(_stalled, reversed(history))))
        return float(min(STALL_FIRST_RETRY * 2.0 ** min(stalls - 1, 16), STALL_LAST_RETRY))
    if ended.budget == "Disruption":
        return 0.0 if charged <= FREE_DISRUPTIONS else min(DISRUPTION_PAUSE * (charged - FREE_DISRUPTIONS), 60.0)
    if ended.budget == "None":
        return 0.0
    wish = None if ended.error is None else ended.error.get("retryAfterSeconds")
    if wish is not None:
        return wish
    longest = float(min(retry["maxIntervalSeconds"], MAX_SECONDS))
    try:
        backoff = retry["initialIntervalSeconds"] * float(retry["backoffCoefficient"]) ** min(charged - 1, 64)
    except OverflowError:
        # guard: retry-delay-overflow - an interval to the power of the attempt exceeds what a float holds
        return longest
    return min(backoff, longest)


def _patch(task: TaskRecord, status: JSONObject) -> PatchTask:
    return PatchTask(task.meta.key, task.meta.version, status)


def earliest(*times: float | None) -> float | None:
    """The first of these moments, of those that there are."""
    return min((time for time in times if time is not None), default=None)
