"""After a failed attempt: another one, and when, or the end of the call. Pure: time and chance are arguments.

What the task's own code did is charged to its retry policy, what happened to it from outside to a budget of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from application_sdk.execution.retry import wait_seconds
from application_sdk.wire.fields import ErrorFields, Policy

DISRUPTION_BUDGET: Final = 20
"""How often a call is started again because something outside of it ended its attempt."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt, not before a time."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The call has failed for good."""

    error: ErrorFields


RetryDecision: TypeAlias = Retry | GiveUp


@dataclass(frozen=True, slots=True)
class AttemptCounts:
    """What a call has been through, the attempt that has just ended included."""

    first_at: float
    """When it was scheduled."""
    failures: int
    disruptions: int
    attempt: int


def decide(
    policy: Policy, tally: AttemptCounts, error: ErrorFields, *, disrupted: bool, now: float, chance: float
) -> RetryDecision:
    """What follows on an attempt that ended with this error. `chance` in [0, 1) is the backoff's jitter."""
    final: ErrorFields = {**error, "attempt": tally.attempt}
    if disrupted:
        if tally.disruptions > DISRUPTION_BUDGET:
            return GiveUp(final)
        return _unless_too_late(policy, tally, final, now)
    retry = policy["retry"]
    if not error.get("retryable", True) or tally.failures >= retry["maxAttempts"]:
        return GiveUp(final)
    return _unless_too_late(policy, tally, final, now + wait_seconds(retry, tally.failures, chance, error))


def _unless_too_late(policy: Policy, tally: AttemptCounts, error: ErrorFields, at: float) -> RetryDecision:
    limit = policy.get("scheduleToCloseSeconds")
    if limit is not None and at - tally.first_at > limit:
        return GiveUp(error)
    return Retry(at)
