from __future__ import annotations

from application_sdk.engines.processes.retry_policy import DISRUPTION_BUDGET, AttemptCounts, GiveUp, Retry, decide
from application_sdk.wire.fields import ErrorFields, Policy, RetryFields

RETRY = RetryFields(maxAttempts=3, initialIntervalSeconds=2, maxIntervalSeconds=5, backoffCoefficient=2)
ERROR = ErrorFields(type="ValueError", message="bad", retryable=True)
FINAL: ErrorFields = {**ERROR, "attempt": 9}


def verdict_on(
    failures: int, *, error: ErrorFields = ERROR, disruptions: int = 0, disrupted: bool = False, chance: float = 0.0,
    limit: float | None = None,
) -> Retry | GiveUp:  # fmt: skip
    policy = Policy(retry=RETRY) if limit is None else Policy(retry=RETRY, scheduleToCloseSeconds=limit)
    tally = AttemptCounts(first_at=90.0, failures=failures, disruptions=disruptions, attempt=9)
    return decide(policy, tally, error, disrupted=disrupted, now=100.0, chance=chance)


def test_the_wait_doubles_up_to_its_cap_with_half_of_it_left_to_chance() -> None:
    assert verdict_on(1, chance=0.0) == Retry(101.0)
    assert verdict_on(2, chance=0.0) == Retry(102.0)
    assert verdict_on(2, chance=0.5) == Retry(103.0)


def test_when_the_attempts_are_used_up_the_error_is_final_with_its_attempt() -> None:
    assert verdict_on(3) == GiveUp(FINAL)


def test_a_permanent_error_fails_at_once() -> None:
    permanent: ErrorFields = {**ERROR, "retryable": False}
    assert verdict_on(1, error=permanent) == GiveUp({**permanent, "attempt": 9})


def test_a_disruption_is_tried_again_at_once_and_costs_the_task_nothing() -> None:
    assert verdict_on(2, disruptions=1, disrupted=True) == Retry(100.0)
    assert verdict_on(2, disruptions=DISRUPTION_BUDGET, disrupted=True) == Retry(100.0)


def test_disruptions_have_an_end_too() -> None:
    assert verdict_on(0, disruptions=DISRUPTION_BUDGET + 1, disrupted=True) == GiveUp(FINAL)


def test_no_attempt_begins_after_the_time_for_all_of_them() -> None:
    assert verdict_on(1, limit=11.0) == Retry(101.0)
    assert verdict_on(1, limit=10.5) == GiveUp(FINAL)
