"""A task says when it is to be tried again, and every engine waits that long; back-off has one cap."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from application_sdk.app import App, RetryableError, RetryPolicy, task
from application_sdk.contracts import Input, Output
from application_sdk.engines.processes.retry_policy import AttemptCounts, Retry, decide
from application_sdk.errors import AppDefinitionError
from application_sdk.execution.error_info import error_fields
from application_sdk.testing import run_app
from application_sdk.wire.fields import ErrorFields


class N(Input):
    n: int = 0


class Out(Output):
    n: int = 0


class Polite(App):
    @task(retry_max_attempts=3, retry_max_interval_seconds=2)
    async def ask(self, input: N) -> Out:
        if self.task_context.attempt < 3:
            raise RetryableError("429 Too Many Requests", after=timedelta(minutes=10))
        return Out(n=self.task_context.attempt)

    async def run(self, input: N) -> Out:
        return await self.ask(input)


def test_the_wish_replaces_backoff_and_cap() -> None:
    finished = run_app(Polite, N())
    assert finished.output.n == 3
    assert finished.elapsed_seconds == 1200


def test_the_wish_travels_as_data() -> None:
    fields = error_fields(RetryableError("later", after=7))
    assert fields["retryAfterSeconds"] == 7
    assert "retryAfterSeconds" not in error_fields(RetryableError("whenever"))
    group = ExceptionGroup("both", [RetryableError(after=3), RetryableError(after=5), KeyError()])
    assert error_fields(group)["retryAfterSeconds"] == 5
    assert "retryAfterSeconds" not in error_fields(RetryableError(after=3), ["RetryableError"])


def test_a_laptop_waits_as_long() -> None:
    policy = Polite.definition.task("ask").policy
    error = ErrorFields(type="RetryableError", message="", retryable=True, retryAfterSeconds=600)
    verdict = decide(policy, AttemptCounts(0, 1, 0, 1), error, disrupted=False, now=100, chance=0.1)
    assert verdict == Retry(700)


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), True])
def test_a_wish_that_makes_no_sense_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match="must be a number of seconds that isn't negative"):
        RetryableError(after=after)


def policy_of(**options: Any) -> RetryPolicy:
    class Declared(App):
        @task(**options)
        async def ask(self, input: N) -> Out:
            return Out()

        async def run(self, input: N) -> Out:
            return await self.ask(input)

    return Declared.definition.task("ask").settings.retry


def test_backoff_has_one_cap_however_it_is_declared() -> None:
    caps = {
        policy_of().max_interval,
        policy_of(retry_max_attempts=5).max_interval,
        policy_of(retry_policy=RetryPolicy(max_attempts=5)).max_interval,
    }
    assert caps == {timedelta(minutes=5)}


def test_the_first_interval_is_a_keyword() -> None:
    assert policy_of(retry_initial_interval_seconds=0.2).initial_interval == timedelta(seconds=0.2)
    assert policy_of(retry_initial_interval_seconds=900).max_interval == timedelta(seconds=900)
    with pytest.raises(AppDefinitionError, match="retry_initial_interval_seconds is more than"):
        policy_of(retry_initial_interval_seconds=9, retry_max_interval_seconds=2)
