"""Errors that a task raises, however an app makes them: what is kept of them, and when they are tried again."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import timedelta

import pytest

from application_sdk.app import App, NonRetryableError, RetryableError, task
from application_sdk.contracts import Input, Output
from application_sdk.errors import AppError, RateLimitedError
from application_sdk.execution.error_info import error_fields
from application_sdk.testing import run_app


@dataclass(kw_only=True)
class BusyShardError(RetryableError):
    shard: int = 0


class MaintenanceError(RetryableError):
    after = 60.0


class BareStatusError(RetryableError):
    """Its initializer calls no other."""

    def __init__(self, status: int) -> None:
        self.status = status


class BareRefusalError(NonRetryableError):
    def __init__(self, status: int) -> None:
        self.status = status


class PermanentError(AppError):
    retryable = False

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")


def wait_of(error: BaseException) -> float | None:
    return error_fields(error).get("retryAfterSeconds")


def test_every_keyword_is_kept() -> None:
    cause = ConnectionError("reset")
    error = RetryableError("later", after=2, cause=cause, run_id="r1", suggested_action="wait")
    assert (error.message, error.after, error.__cause__, error.run_id) == ("later", 2, cause, "r1")
    assert error_fields(error)["message"] == "later (wait)"
    assert RetryableError(message="by keyword").args == ("by keyword",)


def test_a_dataclass_takes_the_wait_beside_its_fields() -> None:
    error = BusyShardError(message="shard is busy", after=5, shard=3)
    assert (str(error), wait_of(error), error.shard) == ("shard is busy", 5, 3)
    assert error.to_failure_details().evidence == {"after": 5, "shard": 3}


def test_a_dataclass_refuses_a_wait_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"after=-1 must be a number of seconds"):
        BusyShardError(after=-1)


def test_a_class_attribute_is_the_wait_of_all_its_errors() -> None:
    assert wait_of(MaintenanceError("down")) == 60
    assert wait_of(MaintenanceError("down", after=timedelta(minutes=5))) == 300


def test_an_initializer_that_calls_no_other_does() -> None:
    assert error_fields(BareStatusError(503)) == {
        "type": "BareStatusError",
        "message": "503",
        "traceback": "tests.unit.replay.test_retryable_errors.BareStatusError: 503\n",
        "retryable": True,
    }
    assert error_fields(BareRefusalError(400))["retryable"] is False
    assert BareStatusError(503).to_failure_details().retryable


def test_a_class_attribute_says_that_it_is_permanent() -> None:
    assert error_fields(PermanentError(400))["retryable"] is False
    assert error_fields(RetryableError("never mind", after=5, retryable=False)).get("retryAfterSeconds") is None


@pytest.mark.parametrize("wait", [-9, True, float("inf"), float("nan"), "7"])
def test_evidence_that_is_no_time_leaves_the_policys_wait(wait: float) -> None:
    assert wait_of(RateLimitedError(message="slow down", retry_after_seconds=9)) == 9
    assert wait_of(RateLimitedError(message="slow down", retry_after_seconds=wait)) is None
    error = RetryableError("later")
    error.after = wait
    assert wait_of(error) is None


@pytest.mark.parametrize("error", [RetryableError("a", after=3), BusyShardError(message="a", after=3, shard=2)])
def test_an_error_survives_pickling(error: RetryableError) -> None:
    copied: RetryableError = pickle.loads(pickle.dumps(error))
    assert (type(copied), copied.message, copied.after) == (type(error), "a", 3)


class Nothing(Input):
    pass


class Limited(App):
    @task(retry_max_attempts=2)
    async def ask(self, input: Nothing) -> Output:
        if self.task_context.attempt == 1:
            raise RateLimitedError(message="429", retry_after_seconds=500)
        raise BusyShardError(message="busy", after=9)

    async def run(self, input: Nothing) -> Output:
        return await self.ask(input)


def test_a_run_waits_as_long_as_the_evidence_says() -> None:
    finished = run_app(Limited, Nothing())
    assert (finished.outcome, finished.elapsed_seconds, len(finished.executed)) == ("Failed", 500, 2)
