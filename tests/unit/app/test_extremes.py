"""Numbers and classes that a user may write in a policy: taken as meant, or refused where the task is defined."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path

import pytest

from application_sdk.app import App, RetryPolicy, task
from application_sdk.contracts import Input, Output
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import ExecutionOptions, create_checked_run, execute_in_process
from application_sdk.engines.local.source import source_of
from application_sdk.errors import AppDefinitionError
from application_sdk.testing import run_app

LIMITS = [
    "timeout_seconds",
    "heartbeat_timeout_seconds",
    "auto_heartbeat_seconds",
    "schedule_to_close_seconds",
    "max_no_progress_seconds",
]


class Nothing(Input):
    pass


class Said(Output):
    text: str = ""


class OddError(Exception):
    pass


@pytest.mark.parametrize(
    "errors", [(OddError,), ("OddError",), ("shop.errors.OddError",), "OddError", OddError, [OddError]]
)
def test_an_error_is_named_by_class_or_by_name(errors: object) -> None:
    class Shop(App):
        @task(retry_policy=RetryPolicy(max_attempts=3, non_retryable_errors=errors))  # type: ignore[arg-type]
        async def fail(self, input: Nothing) -> Said:
            raise OddError

        async def run(self, input: Nothing) -> Said:
            return await self.fail(input)

    assert run_app(Shop, Nothing()).executed == ["fail"]
    assert Shop.definition.tasks["fail"].policy["retry"]["nonRetryable"] == ["OddError"]


@pytest.mark.parametrize("errors", [(5,), (int,), ("no name",), 7])
def test_what_is_no_exception_class_is_refused(errors: object) -> None:
    with pytest.raises(ValueError, match="use exception classes or their names"):
        RetryPolicy(non_retryable_errors=errors)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", LIMITS)
def test_an_infinite_limit_is_none(limit: str) -> None:
    marked = task(**{limit: math.inf})  # type: ignore[arg-type]

    class Shop(App):
        @marked
        async def work(self, input: Nothing) -> Said:
            return Said()

        async def run(self, input: Nothing) -> Said:
            return await self.work(input)

    assert getattr(Shop.definition.tasks["work"].settings, limit) is None
    assert run_app(Shop, Nothing()).outcome == "Succeeded"


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("seconds", [1e18, 10**400, math.nan, -math.inf])
def test_a_limit_that_no_engine_can_keep_is_refused(limit: str, seconds: float) -> None:
    with pytest.raises(AppDefinitionError, match="None for no limit"):
        task(**{limit: seconds})  # type: ignore[arg-type]


def test_an_infinite_interval_between_attempts_is_a_century() -> None:
    policy = task(retry_max_interval_seconds=math.inf)._settings.retry
    assert policy.to_fields()["maxIntervalSeconds"] == 3_155_760_000


@pytest.mark.parametrize("interval", [timedelta.max, timedelta(seconds=-1)])
def test_an_interval_beyond_the_calendar_is_refused(interval: timedelta) -> None:
    with pytest.raises(ValueError, match="a century at most"):
        RetryPolicy(max_interval=interval)


class Patient(App):
    @task
    async def work(self, input: Nothing) -> Said:
        return Said(text="done")

    async def run(self, input: Nothing) -> Said:
        async with asyncio.timeout(math.inf):
            await self.work(input)
        async with asyncio.timeout(1e18):
            return await asyncio.wait_for(self.work(input), 1e300)


def test_a_timeout_that_never_comes_is_one_in_the_kit() -> None:
    assert run_app(Patient, Nothing()).output == Said(text="done")


def test_a_timeout_that_never_comes_is_one_on_a_laptop(tmp_path: Path) -> None:
    home, source = RunStore(tmp_path), source_of(Patient)
    name = create_checked_run(home, Patient, source, {})
    assert execute_in_process(home, name, Patient, source, ExecutionOptions()).output == {"text": "done"}
