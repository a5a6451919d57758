"""One attempt: every end of a task's body is a value that says what happened."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest

from application_sdk.app import App, NonRetryableError, task
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.contracts import HeartbeatDetails, Input, Output, PayloadTooLargeError
from application_sdk.errors import MisuseError
from application_sdk.execution import current
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import Policy, ProgressFields, RetryFields

RETRY = RetryFields(maxAttempts=3, initialIntervalSeconds=1, maxIntervalSeconds=60, backoffCoefficient=2)


class Given(Input):
    n: int = 0


class Made(Output):
    n: int = 0
    text: str | None = "default"


class Position(HeartbeatDetails):
    row: int = 0
    table: str = ""


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Flaky(ValueError):
    pass


class Subject(App):
    cleaned = False
    ready: asyncio.Event

    @task
    async def double(self, input: Given) -> Made:
        return Made(n=2 * input.n, text=None)

    @task
    def double_in_thread(self, input: Given) -> Made:
        assert threading.current_thread() is not threading.main_thread()
        return Made(n=2 * input.n, text=self.task_context.idempotency_key)

    @task
    async def fail(self, input: Given) -> Made:
        return deeper()

    @task
    async def give_up(self, input: Given) -> Made:
        raise NonRetryableError("never")

    @task
    async def fail_in_group(self, input: Given) -> Made:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.run_into(NonRetryableError("never")))
        return Made()

    async def run_into(self, error: Exception) -> None:
        raise error

    @task
    async def fail_without_text(self, input: Given) -> Made:
        raise Broken

    @task
    async def leave(self, input: Given) -> Made:
        sys.exit(3)

    @task
    async def cancel_itself(self, input: Given) -> Made:
        raise asyncio.CancelledError

    @task
    async def time_out_itself(self, input: Given) -> Made:
        raise TimeoutError("the database took too long")

    @task
    async def return_nothing(self, input: Given) -> Made:
        return None  # type: ignore[return-value]

    @task
    async def return_too_much(self, input: Given) -> Made:
        return Made(text="x" * 5_000)

    @task
    async def wait_for_ever(self, input: Given) -> Made:
        try:
            await asyncio.Event().wait()
        finally:
            self.cleaned = True
        return Made()

    @task
    async def finish_when_cancelled(self, input: Given) -> Made:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Made(n=7)
        return Made()

    @task
    def loop_until_cancelled(self, input: Given) -> Made:
        while not self.task_context.is_cancelled():
            time.sleep(0.001)
        return Made(n=1)

    @task
    async def call_a_task(self, input: Given) -> Made:
        return await self.double(input)

    @task
    async def beat(self, input: Given) -> Made:
        before = self.task_context.get_heartbeat_details(Position)
        self.task_context.heartbeat(Position(row=5))
        after = self.task_context.get_heartbeat_details(Position)
        self.task_context.progress(1, 4, "rows")
        return Made(n=(before.row if before else -1) * 100 + (after.row if after else -1))

    @task
    async def say_who(self, input: Given) -> Made:
        return Made(n=self.task_context.attempt, text=f"{self.context.run_id} {self.context.correlation_id}")

    async def run(self, input: Given) -> Made:
        return await self.double(input)


def deeper() -> Made:
    raise Flaky("the disk is full")


class Recorder:
    def __init__(self) -> None:
        self.details: list[JSONObject] = []
        self.steps: list[ProgressFields] = []
        self.beats = 0
        self.stopped = False

    def heartbeat(self, details: JSONObject) -> None:
        self.details.append(details)

    def progress(self, progress: ProgressFields) -> None:
        self.steps.append(progress)

    def beat(self) -> None:
        self.beats += 1

    def stop(self) -> None:
        self.stopped = True


def attempt_of(name: str, recorder: Recorder | None = None, app: Subject | None = None, **info: Any) -> Attempt:
    policy: Policy = {"retry": RETRY, **info.pop("policy", {})}
    facts = {"run_id": "daily", "correlation_id": "c", "task": name, "attempt": 2, "idempotency_key": "u/k"}
    facts |= {"policy": policy, "max_output_bytes": 1_000}
    recorder = recorder or Recorder()
    return Attempt(
        Subject.definition.task(name), app or Subject(), AttemptInfo(**{**facts, **info}), recorder, recorder
    )


async def end_of(name: str, *, n: int = 3, **info: Any) -> AttemptResult:
    return await attempt_of(name, **info).run({"n": n})


async def test_an_output_is_encoded_with_its_nulls() -> None:
    assert (await end_of("double")).output == {"n": 6, "text": None}


async def test_a_sync_body_runs_in_a_thread_and_knows_its_context() -> None:
    assert (await end_of("double_in_thread")).output == {"n": 6, "text": "u/k"}


async def test_a_body_knows_its_attempt_and_its_run() -> None:
    assert (await end_of("say_who")).output == {"n": 2, "text": "daily c"}


async def test_nothing_stands_behind_self_when_the_attempt_is_over() -> None:
    await end_of("fail")
    assert current.get() is None


async def test_a_failure_keeps_type_message_and_the_users_frames() -> None:
    error = (await end_of("fail")).error
    assert error is not None
    assert (error["type"], error["message"], error["retryable"]) == ("Flaky", "the disk is full", True)
    assert "in deeper" in error["traceback"]
    assert "application_sdk" not in error["traceback"]
    assert "asyncio" not in error["traceback"]


async def test_a_permanent_error_says_so() -> None:
    error = (await end_of("give_up")).error
    assert error is not None
    assert error["retryable"] is False


@pytest.mark.parametrize("declared", ["Flaky", "ValueError"])
async def test_declared_classes_and_their_subclasses_are_permanent(declared: str) -> None:
    policy = Policy(retry={**RETRY, "nonRetryable": [declared]})
    error = (await end_of("fail", policy=policy)).error
    assert error is not None
    assert error["retryable"] is False


async def test_a_group_with_a_permanent_error_is_permanent() -> None:
    error = (await end_of("fail_in_group")).error
    assert error is not None
    assert (error["type"], error["retryable"]) == ("ExceptionGroup", False)
    assert "NonRetryableError: never" in error["traceback"]


async def test_an_error_whose_text_fails_is_still_a_failure() -> None:
    error = (await end_of("fail_without_text")).error
    assert error is not None
    assert error["type"] == "Broken"
    assert "__str__ fails" in error["message"]


async def test_sys_exit_in_a_task_is_its_failure() -> None:
    error = (await end_of("leave")).error
    assert error is not None
    assert (error["type"], error["message"]) == ("SystemExit", "3")


async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    error = (await end_of("cancel_itself")).error
    assert error is not None
    assert error["type"] == "CancelledError"


async def test_a_timeout_of_the_bodys_own_keeps_its_name() -> None:
    error = (await end_of("time_out_itself", policy={"timeoutSeconds": 60})).error
    assert error is not None
    assert (error["type"], error["message"]) == ("TimeoutError", "the database took too long")


async def test_an_attempt_that_takes_too_long_may_clean_up_and_is_retried() -> None:
    app = Subject()
    error = (await end_of("wait_for_ever", app=app, policy={"timeoutSeconds": 0.01})).error
    assert error is not None
    assert (error["type"], error["retryable"]) == ("TimedOut", True)
    assert "after 0.01 s" in error["message"]
    assert "test_attempt.py:" in error["message"]
    assert app.cleaned


async def test_a_thread_learns_that_its_time_is_up() -> None:
    error = (await end_of("loop_until_cancelled", policy={"timeoutSeconds": 0.01})).error
    assert error is not None
    assert error["type"] == "TimedOut"


async def test_an_input_that_does_not_fit_is_permanent() -> None:
    error = (await attempt_of("double").run({"m": 1})).error
    assert error is not None
    assert (error["type"], error["retryable"]) == ("InvalidInput", False)
    assert "m" in error["message"]


async def test_a_body_must_return_what_it_declares() -> None:
    error = (await end_of("return_nothing")).error
    assert error is not None
    assert (error["type"], error["retryable"]) == ("ContractValidationError", False)
    assert "Made" in error["message"]


async def test_an_output_over_the_limit_is_permanent_and_names_the_field() -> None:
    error = (await end_of("return_too_much")).error
    assert error is not None
    assert (error["type"], error["retryable"]) == ("PayloadTooLargeError", False)
    assert "Made.text" in error["message"]


async def test_a_task_cannot_call_a_task() -> None:
    error = (await end_of("call_a_task")).error
    assert error is not None
    assert error["type"] == MisuseError.__name__
    assert "'call_a_task' calls task 'double'" in error["message"]


async def test_a_cancelled_body_cleans_up_and_leaves_no_outcome() -> None:
    app = Subject()
    attempt = attempt_of("wait_for_ever", app=app)
    running = asyncio.ensure_future(attempt.run({"n": 1}))
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, attempt.cancel)
    result = await running
    assert result.cancelled
    assert app.cleaned
    assert attempt.context.is_cancelled()


async def test_a_body_that_is_cancelled_before_it_begins_never_does() -> None:
    app = Subject()
    attempt = attempt_of("wait_for_ever", app=app)
    attempt.cancel()
    assert (await attempt.run({"n": 1})).cancelled
    assert not app.cleaned


async def test_a_body_may_finish_instead_when_it_is_cancelled() -> None:
    attempt = attempt_of("finish_when_cancelled")
    running = asyncio.ensure_future(attempt.run({"n": 1}))
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, attempt.cancel)
    result = await running
    assert result.output is not None
    assert result.output["n"] == 7


async def test_an_engine_that_cancels_the_task_itself_gets_its_cancellation() -> None:
    running = asyncio.ensure_future(attempt_of("wait_for_ever").run({"n": 1}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_heartbeats_carry_details_and_are_signs_of_life() -> None:
    recorder = Recorder()
    result = await attempt_of("beat", recorder, heartbeat={"row": 2, "table": "t"}).run({"n": 1})
    assert result.output is not None
    assert result.output["n"] == 205
    assert recorder.details == [{"row": 5, "table": ""}]
    assert recorder.steps == [{"done": 1, "total": 4, "message": "rows"}]
    assert recorder.beats == 2
    assert recorder.stopped


async def test_what_is_not_told_of_the_progress_stays_as_it_was() -> None:
    recorder = Recorder()
    context = attempt_of("beat", recorder).context
    context.progress(1, 4)
    context.progress(message="the second table")
    context.progress(done=2)
    assert recorder.steps[-1] == {"done": 2, "total": 4, "message": "the second table"}


async def test_progress_is_cut_to_what_can_be_shown() -> None:
    recorder = Recorder()
    attempt_of("beat", recorder).context.progress(1.7, -3, "x" * 5000)  # type: ignore[arg-type]
    assert recorder.steps == [{"done": 1, "total": 0, "message": "x" * 1000}]


async def test_details_that_are_too_big_are_refused_by_name() -> None:
    recorder = Recorder()
    with pytest.raises(PayloadTooLargeError, match=r"This Position is 9\.\d KiB of JSON, the limit is 8\.0 KiB"):
        attempt_of("beat", recorder).context.heartbeat(Position(table="x" * 9500))
    assert recorder.details == []


async def test_details_of_another_version_are_no_details() -> None:
    result = await attempt_of("beat", heartbeat={"row": "many"}).run({"n": 1})
    assert result.output is not None
    assert result.output["n"] == -95


async def test_the_runtime_beats_for_a_body_that_waits() -> None:
    recorder = Recorder()
    policy = {"autoHeartbeatSeconds": 0.001, "timeoutSeconds": 0.1}
    await attempt_of("wait_for_ever", recorder, policy=policy).run({"n": 1})
    assert recorder.beats > 2
