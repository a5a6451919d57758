"""How often and how fast a task is tried again. Declared in `@task`, carried in the call, decided on by the engines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from application_sdk.wire.fields import MAX_SECONDS, ErrorFields, RetryFields

_MAX_COEFFICIENT: Final = 1000
_MAX_ATTEMPTS: Final = 2**31 - 1
_MAX_INTERVAL: Final = timedelta(seconds=MAX_SECONDS)


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with a cap.

    Everything that a task raises is retried, except `NonRetryableError`, contract errors and the classes in
    `non_retryable_errors`. What the cluster does to a task (eviction, loss of a node) isn't counted.

    Args:
        max_attempts: Attempts in all, the first one included. From 1; 3 by default.
        initial_interval: Wait before the second attempt. 1 second by default.
        max_interval: Cap of the wait between two attempts. 5 minutes by default.
        backoff_coefficient: Factor by which each wait is longer than the one before, from 1 to 1,000. 2 by default.
        non_retryable_errors: Exception classes, or their names, after which the call fails at once. None by default.

    Raises:
        ValueError: A value is out of its range.
    """

    max_attempts: int = 3
    initial_interval: timedelta = field(default=timedelta(seconds=1))
    max_interval: timedelta = field(default=timedelta(minutes=5))
    backoff_coefficient: float = 2.0
    non_retryable_errors: tuple[str | type[BaseException], ...] = ()
    """Kept as names."""

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ValueError(
                f"max_attempts is {self.max_attempts!r}; it counts the first attempt too, so use a whole number from 1 "
                f"up"
            )
        if self.max_attempts > _MAX_ATTEMPTS:
            raise ValueError(f"max_attempts is {self.max_attempts}; use a whole number up to {_MAX_ATTEMPTS}")
        if not 1 <= self.backoff_coefficient <= _MAX_COEFFICIENT:
            raise ValueError(
                f"backoff_coefficient is {self.backoff_coefficient}; use a number from 1 to {_MAX_COEFFICIENT}"
            )
        intervals: dict[str, object] = {"initial_interval": self.initial_interval, "max_interval": self.max_interval}
        for name, interval in intervals.items():
            if not isinstance(interval, timedelta) or not timedelta(0) <= interval <= _MAX_INTERVAL:
                raise ValueError(f"{name} is {interval!r}; use a timedelta that isn't negative, of a century at most")
        object.__setattr__(self, "non_retryable_errors", _names(self.non_retryable_errors))

    def with_max_attempts(self, max_attempts: int) -> RetryPolicy:
        """This policy with another number of attempts."""
        return replace(self, max_attempts=max_attempts)

    def with_initial_interval(self, interval: timedelta) -> RetryPolicy:
        """This policy with another wait before the second attempt."""
        return replace(self, initial_interval=interval)

    def with_non_retryable(self, *error_types: type[BaseException]) -> RetryPolicy:
        """This policy with further exception classes that are permanent."""
        names = tuple(error_type.__name__ for error_type in error_types)
        return replace(self, non_retryable_errors=self.non_retryable_errors + names)

    def to_fields(self) -> RetryFields:
        """The policy as it travels in a call."""
        fields = RetryFields(
            maxAttempts=self.max_attempts,
            initialIntervalSeconds=self.initial_interval.total_seconds(),
            maxIntervalSeconds=self.max_interval.total_seconds(),
            backoffCoefficient=self.backoff_coefficient,
        )
        if self.non_retryable_errors:
            fields["nonRetryable"] = list(_names(self.non_retryable_errors))
        return fields


def _names(errors: object) -> tuple[str, ...]:
    """Names of exception classes: one or several, given as classes or as names, with or without their module."""
    listed = [errors] if isinstance(errors, str | type) else list(errors) if isinstance(errors, Iterable) else [errors]
    return tuple(map(_name, listed))


def _name(error: object) -> str:
    if isinstance(error, type) and issubclass(error, BaseException):
        return error.__name__
    name = error.rpartition(".")[2] if isinstance(error, str) else ""
    if not name.isidentifier():
        raise ValueError(f"non_retryable_errors holds {error!r}; use exception classes or their names")
    return name


NO_RETRY = RetryPolicy(max_attempts=1)
"""One attempt only."""
DEFAULT_RETRY = RetryPolicy()
AGGRESSIVE_RETRY = RetryPolicy(
    max_attempts=10,
    initial_interval=timedelta(milliseconds=100),
    max_interval=timedelta(minutes=1),
    backoff_coefficient=1.5,
)
"""For failures that pass quickly."""


def backoff_seconds(retry: RetryFields, failed_attempt: int, fraction: float) -> float:
    """How long to wait after the `failed_attempt`-th attempt (from 1) failed, in seconds.

    `fraction` in [0, 1) is the jitter's chance: the wait lies between half of the full interval and the whole of it.
    """
    full = retry["initialIntervalSeconds"] * retry["backoffCoefficient"] ** min(failed_attempt - 1, 100)
    return min(full, retry["maxIntervalSeconds"]) * (0.5 + fraction / 2)


def wait_seconds(retry: RetryFields, failed_attempt: int, fraction: float, error: ErrorFields) -> float:
    """How long to wait after the `failed_attempt`-th attempt failed with this error, in seconds.

    What the error itself asks for (`retryAfterSeconds`) comes before the policy.
    """
    requested = error.get("retryAfterSeconds")
    return backoff_seconds(retry, failed_attempt, fraction) if requested is None else requested


def retry_product_seconds(timeout_seconds: float, max_attempts: int) -> float:
    """The longest that all attempts together can run, backoff aside: a value for `schedule_to_close_seconds` that makes
    the bound explicit and changes nothing else."""
    return timeout_seconds * max_attempts
