"""How long is waited between two attempts, and which policies make no sense."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from application_sdk.execution.retry import (
    AGGRESSIVE_RETRY,
    DEFAULT_RETRY,
    NO_RETRY,
    RetryPolicy,
    backoff_seconds,
    retry_product_seconds,
)

POLICY = RetryPolicy(initial_interval=timedelta(seconds=2), max_interval=timedelta(seconds=60), backoff_coefficient=3)


@pytest.mark.parametrize(("failed_attempt", "full"), [(1, 2), (2, 6), (3, 18), (4, 54), (5, 60), (6, 60), (10_000, 60)])
def test_the_wait_grows_up_to_its_cap_and_chance_takes_up_to_half_of_it(failed_attempt: int, full: float) -> None:
    fields = POLICY.to_fields()
    assert backoff_seconds(fields, failed_attempt, 0.0) == full / 2
    assert backoff_seconds(fields, failed_attempt, 0.5) == full * 0.75
    assert full * 0.99 < backoff_seconds(fields, failed_attempt, 0.999) < full


def test_the_steepest_policy_stays_within_its_cap() -> None:
    steep = RetryPolicy(backoff_coefficient=1000, max_interval=timedelta(days=1))
    assert backoff_seconds(steep.to_fields(), 10_000, 0.0) == 43_200


def test_a_policy_travels_as_seconds() -> None:
    assert POLICY.with_non_retryable(KeyError, ValueError).to_fields() == {
        "maxAttempts": 3,
        "initialIntervalSeconds": 2,
        "maxIntervalSeconds": 60,
        "backoffCoefficient": 3,
        "nonRetryable": ["KeyError", "ValueError"],
    }


def test_a_changed_policy_is_another_one() -> None:
    changed = DEFAULT_RETRY.with_max_attempts(7).with_initial_interval(timedelta(seconds=9))
    assert (changed.max_attempts, changed.initial_interval) == (7, timedelta(seconds=9))
    assert DEFAULT_RETRY.max_attempts == 3
    assert NO_RETRY.max_attempts == 1
    assert AGGRESSIVE_RETRY.max_attempts > DEFAULT_RETRY.max_attempts


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_attempts": 0}, "max_attempts is 0; it counts the first attempt too, so use a whole number from 1 up"),
        ({"max_attempts": "3"}, "max_attempts is '3'"),
        ({"max_attempts": 2.5}, "max_attempts is 2.5"),
        ({"backoff_coefficient": 0.5}, "backoff_coefficient is 0.5; use a number from 1 to 1000"),
        ({"backoff_coefficient": float("nan")}, "backoff_coefficient is nan"),
        ({"backoff_coefficient": 1e9}, "backoff_coefficient is 1000000000.0"),
        ({"initial_interval": 5}, "initial_interval is 5; use a timedelta that isn't negative"),
        ({"max_interval": timedelta(seconds=-1)}, "max_interval is datetime.timedelta"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        RetryPolicy(**values)
    assert said in str(caught.value)


def test_all_attempts_together_take_as_long_as_each_times_their_number() -> None:
    assert retry_product_seconds(3600, 3) == 10_800
