"""Decides after a failed attempt: another one, and when, or the failure of the call. Pure.

Failures of the task's own code are charged to its retry policy, disruptions from outside to a
budget of their own.
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
    """The attempts of a call so far, including the one that has just ended."""

    first_at: float
    """When it was scheduled."""
    failures: int
    disruptions: int
    attempt: int


def decide(
    policy: Policy, counts: AttemptCounts, error: ErrorFields, *, disrupted: bool, now: float, chance: float
) -> RetryDecision:
    """Decide what follows an attempt that ended with this error. `chance` in [0, 1) is the
    backoff's jitter."""
    final: ErrorFields = {**error, "attempt": counts.attempt}
    if disrupted:
        if counts.disruptions > DISRUPTION_BUDGET:
            return GiveUp(final)
        return _unless_too_late(policy, counts, final, now)
    retry = policy["retry"]
    if not error.get("retryable", True) or counts.failures >= retry["maxAttempts"]:
        return GiveUp(final)
    return _unless_too_late(policy, counts, final, now + wait_seconds(retry, counts.failures, chance, error))


def _unless_too_late(policy: Policy, counts: AttemptCounts, error: ErrorFields, at: float) -> RetryDecision:
    limit = policy.get("scheduleToCloseSeconds")
    if limit is not None and at - counts.first_at > limit:
        return GiveUp(error)
    return Retry(at)
