"""The outcomes that a driver records for calls of driver tasks, and the limits of such calls.
Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from application_sdk.execution.redaction import redacted_error
from application_sdk.wire import reasons
from application_sdk.wire.fields import CANCELLED, MAX_DRIVER_TASK_SECONDS, CallOutcome, ErrorFields, Policy

if TYPE_CHECKING:
    from application_sdk.execution.engine import ScheduledCall

ABANDONED_CALL: Final = ErrorFields(type=CANCELLED, message="the route no longer waits for this call")
CANCELLED_RUN: Final = ErrorFields(type=CANCELLED, message="the run was cancelled")
CANCELLED_ATTEMPT: Final = ErrorFields(type=CANCELLED, message="the attempt gave way to a cancellation")


def bounded_policy(policy: Policy) -> Policy:
    """The policy within a driver's limits, also where the App or `.options()` moved the task into
    the driver."""
    whole = min(policy.get("scheduleToCloseSeconds", MAX_DRIVER_TASK_SECONDS), MAX_DRIVER_TASK_SECONDS)
    limited = Policy(retry=policy["retry"], scheduleToCloseSeconds=whole)
    if "timeoutSeconds" in policy:
        limited["timeoutSeconds"] = min(policy["timeoutSeconds"], MAX_DRIVER_TASK_SECONDS)
    return limited


def timed_out(task: str, attempt: int) -> ErrorFields:
    """The error of an attempt that exceeded its time and had to be killed."""
    return ErrorFields(
        type=reasons.TIMED_OUT,
        message=f"attempt {attempt} of {task!r} was over its time (timeout_seconds, or {MAX_DRIVER_TASK_SECONDS} s for "
        "all attempts) and didn't end when it was told to: it was killed",
        retryable=True,
    )


def never_begun(task: str, attempt: int) -> ErrorFields:
    """The error of an attempt that had no process yet when its call's time was over."""
    return ErrorFields(
        type=reasons.TIMED_OUT,
        message=f"attempt {attempt} of {task!r} couldn't begin in time: the process that attempts are forked from is "
        "still importing the app, or hangs",
        retryable=True,
    )


def unreportable(call: ScheduledCall, outcome: CallOutcome, complaint: str) -> CallOutcome:
    """The outcome that is recorded in place of one that the API server refuses as invalid."""
    error = ErrorFields(
        type=reasons.REPORT_REFUSED,
        message=f"the API server refused to store the outcome of {call.task!r}: {complaint}",
        retryable=False,
        attempt=outcome["attempt"],
    )
    return CallOutcome(
        phase="Failed",
        attempt=outcome["attempt"],
        error=redacted_error(error),
        startedAt=outcome["startedAt"],
        finishedAt=outcome["finishedAt"],
    )
