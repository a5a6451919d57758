"""Decides about one open task call: its pod, its next attempt, its failure.

A decision depends on one AppTask and its pods. It neither counts other calls nor changes the run.
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
from apprun_operator.plan.actions import FetchPodEvent, ItemAction, PatchTask
from apprun_operator.plan.call import pod_replacement, pod_status
from apprun_operator.plan.call.pod_status import PodBlocked, PodEnded, PodHealthy, Reading
from apprun_operator.plan.limits import (
    EVENT_POLL_SECONDS,
    MOUNT_GRACE,
    STALL_FIRST_RETRY,
    STALL_LAST_RETRY,
    WAITING_GRACE,
    YOUNG,
    Limits,
)
from apprun_operator.plan.pod import pod_fields, secrets, service_accounts
from apprun_operator.plan.pod.image_pinning import image_of
from apprun_operator.plan.times import earliest

DEFAULT_RETRY: Final = RetryFields(
    maxAttempts=3, initialIntervalSeconds=1.0, maxIntervalSeconds=60.0, backoffCoefficient=2.0
)
DRIVER_RETRY: Final = RetryFields(
    maxAttempts=5, initialIntervalSeconds=1.0, maxIntervalSeconds=60.0, backoffCoefficient=2.0
)
"""For drivers that die without a report. What the route itself raises is never tried again: it
would raise it again."""
FREE_DISRUPTIONS: Final = 3
"""So many disruptions of a call are answered at once; later ones wait, so that a sick cluster isn't
hammered."""
DISRUPTION_PAUSE: Final = 5.0
MESSAGE_LIMIT: Final = 16 * 1024
"""Characters of what the cluster says of an attempt: half a log may stand in a pod's message."""
KEPT_UNCHARGED: Final = 8
"""So many attempts that no budget is charged for stay in the history: a stalled run retries for
weeks."""


@dataclass(frozen=True, slots=True)
class CallDecision:
    """What to do about one call. At most one of `wants_pod` and `occupies` holds: it needs a slot,
    or it has one."""

    actions: Sequence[ItemAction] = ()
    wake_at: float | None = None
    wants_pod: bool = False
    occupies: bool = False
    blocked: PodBlocked | None = None
    fetch: FetchPodEvent | None = None
    """Read the Events about the pod, to find out what it waits for."""


def decide(observed: Observed, task: TaskRecord, now: float, limits: Limits) -> CallDecision:
    """Decide about an open call, driver or task, whose run goes on."""
    name = task.meta.key.name
    pod = observed.pods.get(task.pod_name)
    if name in observed.in_flight or task.pod_name in observed.in_flight:
        return CallDecision(occupies=True)
    reading = _read(observed, task, pod, now, limits)
    deadline = deadline_of(task)
    if deadline is not None and now >= deadline and not isinstance(reading, PodEnded):
        reading = PodEnded(
            reasons.TIMED_OUT,
            f"the call took longer than schedule_to_close_seconds ({deadline - task.meta.created:g} s)",
            "App",
            False,
        )
    if isinstance(reading, PodEnded):
        blocked = None
        if task.role == "driver" and reading.reason in pod_status.FAULTS_OF_THE_SURROUNDINGS:
            # A further attempt ends like this one, so the run has to wait for a person.
            reading = replace(reading, budget="None", stall="LoadFailed", retryable=True)
            blocked = PodBlocked(reading.reason, reading.message, now, permanent=True)
        elif reading.budget == "None" and reading.reason in pod_replacement.REASONS:
            blocked = PodBlocked(reading.reason, reading.message, task.meta.created)
        return CallDecision([end_attempt(task, reading, pod, now, limits)], blocked=blocked)
    fetch, wake_for_words = _what_to_ask(observed, pod, now)
    if isinstance(reading, PodBlocked):
        decision = keep_waiting(task, pod, reading, deadline, now, limits)
        return replace(decision, fetch=fetch, wake_at=earliest(decision.wake_at, wake_for_words))
    actions: list[ItemAction] = []
    blocked = pod_replacement.still_blocked(task, pod)
    if task.phase == "Waiting" and pod is not None and blocked is None:
        actions.append(
            _patch(task, {"phase": "Active", "message": _attempts_summary(task, task.attempts, limits) or None})
        )
    wake_at = earliest(reading.wake_at, deadline)
    if pod is not None:
        return CallDecision(actions, earliest(wake_at, wake_for_words), occupies=True, blocked=blocked, fetch=fetch)
    if now < task.not_before and not _stall_is_over(observed, task):
        return CallDecision(actions, earliest(wake_at, task.not_before), blocked=blocked)
    return CallDecision(actions, wake_at, wants_pod=True, blocked=blocked)


def _read(observed: Observed, task: TaskRecord, pod: PodRecord | None, now: float, limits: Limits) -> Reading:
    reported = task.reported_error
    if reported is not None:
        retry = retry_of(task)
        ended = pod_status.of_report(reported, retry.get("nonRetryable", []))
        # A route is deterministic: what it raised it would raise again. Only a stall is worth
        # another attempt.
        return ended if task.role == "task" else replace(ended, retryable=ended.stall is not None)
    if pod is not None and pod.meta.owner_uid == task.meta.uid:
        reading = pod_status.of_pod(pod, now, limits)
        if isinstance(reading, PodBlocked) and _corrected(observed, task, pod):
            return PodEnded(reasons.CORRECTED, "the app was corrected", "None")
        if isinstance(reading, PodBlocked):
            return pod_replacement.blocked_or_replaced(task, pod, reading, now, limits)
        return _mounting(observed, pod, now, limits) or reading
    if pod is not None and not pod.gone:
        # Somebody deleted the AppTask, and the driver called it again. Its pod goes by itself, on a
        # lost node never.
        where = f" on node {pod.node}" if pod.node else ""
        message = f"pod {pod.meta.key.name!r} of this call's AppTask that was deleted is still there{where}"
        return PodBlocked("PodTerminating", f"{message}: waiting until it is gone", task.seen_at)
    app = observed.run.app or {}
    undeclared = secrets.undeclared(app, pod_fields.own_secrets(app, task))
    if undeclared:
        return PodEnded("SecretNotDeclared", undeclared, "App", retryable=False)
    account_problem = service_accounts.forbidden_account_of(app, task, limits)
    if account_problem:
        return PodEnded(service_accounts.NOT_ALLOWED, account_problem, "App", retryable=False)
    rejection = observed.rejections.get(task.pod_name)
    if rejection is not None and now < rejection.retry_at:
        return pod_status.of_rejection(rejection, now, limits)
    return PodHealthy()


def _mounting(observed: Observed, pod: PodRecord, now: float, limits: Limits) -> PodBlocked | None:
    """The volume that a pod waits for, if the kubelet's Events name it: the pod's own status
    doesn't."""
    words = observed.pod_events.get(pod.meta.key.name)
    if words is None or not words.message or not (pod.mounts and pod.starting):
        return None
    reason, message = secrets.explained(words.message, pod.meta.key.namespace)
    since = pod.meta.created
    return PodBlocked(reason, message, since, now - since > limits.pending_timeout, since + limits.pending_timeout)


def _what_to_ask(observed: Observed, pod: PodRecord | None, now: float) -> tuple[FetchPodEvent | None, float | None]:
    """Which Events to read now, for a pod that doesn't start, or when to read them."""
    if pod is None or not pod.mounts or not pod.starting or pod.deletion_at is not None:
        return None, None
    words = observed.pod_events.get(pod.meta.key.name)
    if words is None:
        due = pod.meta.created + MOUNT_GRACE
    else:
        soon = not words.message and words.read_at < pod.meta.created + YOUNG
        due = words.read_at + (MOUNT_GRACE if soon else EVENT_POLL_SECONDS)
    if now < due:
        return None, due
    return FetchPodEvent(observed.run.meta.key, pod.meta.key.name, pod.meta.uid), None


def end_attempt(task: TaskRecord, ended: PodEnded, pod: PodRecord | None, now: float, limits: Limits) -> PatchTask:
    """Answer an attempt that is over: with the next one, or with the call's failure.

    The write has the version that the decision rests on: a report that came meanwhile makes it
    fail, and wins.
    """
    history = [*_trimmed(task.attempts), _history_entry(task, ended, pod, now)]
    charged = sum(1 for entry in history if entry["budget"] == ended.budget)
    retry = retry_of(task)
    budget = {"App": retry["maxAttempts"], "Disruption": limits.disruption_budget + 1, "None": len(history) + 1}[
        ended.budget
    ]
    attempts = cast("JSON", history)
    log = _log(task, ended, pod)
    message = _attempts_summary(task, history, limits)
    pause = _pause(ended, history, charged, retry)
    deadline = deadline_of(task)
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
    """End an open call that nobody waits for any more. An attempt of it that was under way is
    charged to nobody."""
    status: JSONObject = {"phase": "Cancelled", "error": {"type": CANCELLED, "message": why}}
    if pod is not None:
        ended = PodEnded(reason, why, "None", exit_code=pod.exit_code)
        status["attempts"] = cast("JSON", [*_trimmed(task.attempts), _history_entry(task, ended, pod, now)])
    return _patch(task, {**status, "finishedAt": rfc3339(now), "message": None})


def fire_timer(task: TaskRecord, now: float) -> tuple[PatchTask | None, float | None]:
    """A timer's end when it is due, else when it will be.

    Creation times are cut to whole seconds. A sleep must never be short, so it counts from when the
    operator saw the object, or from the end of that second when an earlier operator had seen it.
    One that was restored is as young as the import, which has written when the timer is due.
    """
    # guard: restored-timer - a restored sleep ends when the original would have
    due = task.not_before or min(task.seen_at, task.meta.created + 1.0) + task.seconds
    if now < due:
        return None, due
    return _patch(task, {"phase": "Succeeded", "finishedAt": rfc3339(now)}), None


def keep_waiting(
    task: TaskRecord,
    pod: PodRecord | None,
    blocked: PodBlocked,
    deadline: float | None,
    now: float,
    limits: Limits,
) -> CallDecision:
    """Wait with a call whose pod can't start, or end the call where waiting can't help."""
    if blocked.permanent and task.role == "task":
        ended = PodEnded(blocked.reason, blocked.message, "App", retryable=False)
        return CallDecision([end_attempt(task, ended, pod, now, limits)])
    # A driver waits on when its time is over: that is no reason to look at it again and again.
    wake_at = earliest(blocked.wake_at if blocked.wake_at is not None and blocked.wake_at > now else None, deadline)
    actions: list[ItemAction] = []
    if task.role == "task" and now >= blocked.since + WAITING_GRACE:
        if task.phase != "Waiting" or not task.message.startswith(blocked.reason):
            actions.append(_patch(task, {"phase": "Waiting", "message": f"{blocked.reason}: {blocked.message}"}))
    elif task.role == "task":
        wake_at = earliest(wake_at, blocked.since + WAITING_GRACE)
    return CallDecision(actions, wake_at, occupies=pod is not None, blocked=blocked)


def _corrected(observed: Observed, task: TaskRecord, pod: PodRecord) -> bool:
    """Whether a blocked driver's pod has an image that the run, resolved again, no longer names."""
    app = observed.run.app or {}
    # guard: image-as-requested - a webhook may rewrite images to a mirror
    return task.role == "driver" and pod.asked_image not in (app.get("image"), image_of(app))


def _stall_is_over(observed: Observed, task: TaskRecord) -> bool:
    """Whether a stalled driver needn't wait for its backoff: the run was corrected and isn't
    stalled any more."""
    after_stall = bool(task.attempts) and _stalled(task.attempts[-1])
    return task.role == "driver" and after_stall and observed.run.phase != "Stalled"


def retry_of(task: TaskRecord) -> RetryFields:
    """The retries of a call, with defaults for what it doesn't say."""
    if task.role == "driver":
        return DRIVER_RETRY
    declared = task.policy.get("retry") if task.policy else None
    return DEFAULT_RETRY if declared is None else {**DEFAULT_RETRY, **declared}


def deadline_of(task: TaskRecord) -> float | None:
    """When the whole call has to have ended; None for no limit."""
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
    """The end of the log that the kubelet kept of an attempt without a report. A report brings its
    own log."""
    text = pod.exit_message.strip() if pod is not None and ended.error is None else ""
    return {"log": {"attempt": task.attempt, "tail": logs.tail(text)}} if text else {}


def _attempts_summary(task: TaskRecord, history: Sequence[AttemptFields], limits: Limits) -> str:
    """The attempts that ended, in one line: `App 1/3: OOMKilled; Disruption 4/20: NodeLost ×3,
    Evicted`."""
    allowed = {"App": f"/{retry_of(task)['maxAttempts']}", "Disruption": f"/{limits.disruption_budget}", "None": ""}
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
        reasons.PARKED,
        *pod_replacement.REASONS,
    )


def _error(task: TaskRecord, ended: PodEnded, too_many: int) -> ErrorFields:
    """The failure that the route gets: the attempt's own error if it reported one, else the
    cluster's message."""
    if ended.error is not None:
        return ended.error
    message = ended.message
    if ended.budget == "Disruption" and too_many:
        message = f"{message}; {too_many} disruptions of this call are more than the operator's budget"
    return ErrorFields(
        type=ended.reason, message=message[:MESSAGE_LIMIT], attempt=task.attempt, retryable=ended.retryable
    )


def _pause(ended: PodEnded, history: Sequence[AttemptFields], charged: int, retry: RetryFields) -> float:
    """Seconds until the next attempt may start."""
    if ended.stall:
        stalls = len(list(takewhile(_stalled, reversed(history))))
        return float(min(STALL_FIRST_RETRY * 2.0 ** min(stalls - 1, 16), STALL_LAST_RETRY))
    if ended.budget == "Disruption":
        return 0.0 if charged <= FREE_DISRUPTIONS else min(DISRUPTION_PAUSE * (charged - FREE_DISRUPTIONS), 60.0)
    if ended.budget == "None":
        return ended.pause
    wish = None if ended.error is None else ended.error.get("retryAfterSeconds")
    if wish is not None:
        return wish
    longest = float(min(retry["maxIntervalSeconds"], MAX_SECONDS))
    try:
        backoff = retry["initialIntervalSeconds"] * float(retry["backoffCoefficient"]) ** min(charged - 1, 64)
    except OverflowError:
        # guard: retry-delay-overflow - an interval to the power of the attempt exceeds what a float
        # holds
        return longest
    return min(backoff, longest)


def _patch(task: TaskRecord, status: JSONObject) -> PatchTask:
    return PatchTask(task.meta.key, task.meta.version, status)
