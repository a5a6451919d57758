"""run_app: an app in virtual time, with failures, durations and stand-ins where the test wants them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from application_sdk.app import App, NonRetryableError, TaskFailedError, task
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.testing import RunFailedError, run_app


class Order(Input):
    id: int = 0


class Receipt(Output):
    text: str = ""


class Details(HeartbeatDetails):
    done: int = 0


class Shop(App):
    @task(retry_max_attempts=3)
    async def charge(self, input: Order) -> Receipt:
        return Receipt(text=f"charged {input.id}")

    @task
    async def ship(self, input: Order) -> Receipt:
        return Receipt(text=f"shipped {input.id} at {self.task_context.attempt}")

    async def run(self, input: Order) -> Receipt:
        charged = await self.charge(input)
        await asyncio.sleep(7 * 24 * 3600)
        shipped = await self.ship(input)
        return Receipt(text=f"{charged.text}, {shipped.text}")


def test_a_route_that_sleeps_a_week_is_over_at_once() -> None:
    finished = run_app(Shop, Order(id=5))
    assert finished.output == Receipt(text="charged 5, shipped 5 at 1")
    assert finished.elapsed_seconds == 7 * 24 * 3600
    assert finished.executed == ["charge", "ship"]


async def test_it_works_inside_an_event_loop() -> None:
    assert run_app(Shop, Order()).outcome == "Succeeded"
    await asyncio.sleep(0)


def test_failures_by_attempt_are_retried_with_backoff() -> None:
    finished = run_app(Shop, Order(), failures={"charge": [ConnectionError("a"), ConnectionError("b")]})
    assert finished.executed == ["charge", "charge", "charge", "ship"]
    assert finished.elapsed_seconds > 7 * 24 * 3600 + 1


def test_a_failure_for_every_attempt_reaches_the_route() -> None:
    finished = run_app(Shop, Order(), failures={"charge": ConnectionError("down")})
    assert finished.outcome == "Failed"
    with pytest.raises(RunFailedError, match="task 'charge' failed after 3 attempts: ConnectionError: down"):
        _ = finished.output


def test_a_permanent_failure_is_not_retried() -> None:
    assert run_app(Shop, Order(), failures={"charge": NonRetryableError("no")}).executed == ["charge"]


def test_a_failure_may_depend_on_the_input() -> None:
    def fail(input: Order, attempt: int) -> BaseException | None:
        return ValueError("odd") if input.id % 2 and attempt == 1 else None

    assert run_app(Shop, Order(id=1), failures={"charge": fail}).executed == ["charge", "charge", "ship"]
    assert run_app(Shop, Order(id=2), failures={"charge": fail}).executed == ["charge", "ship"]


def test_a_stand_in_takes_the_place_of_a_body() -> None:
    async def shipped(input: Order) -> Receipt:
        return Receipt(text="by boat")

    finished = run_app(Shop, Order(), stand_ins={"charge": lambda input: Receipt(text="free"), "ship": shipped})
    assert finished.output.text == "free, by boat"


def test_durations_take_virtual_time_and_decide_who_is_first() -> None:
    class Race(Shop):
        async def run(self, input: Order) -> Receipt:
            calls = [asyncio.create_task(self.charge(Order(id=n))) for n in (1, 2)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()

    assert run_app(Race, Order(), durations={"charge": lambda input: 10 - input.id}).output.text == "charged 2"
    assert run_app(Race, Order(), durations={"charge": lambda input: input.id}).output.text == "charged 1"


def test_a_misspelt_task_name_is_told() -> None:
    with pytest.raises(ValueError, match="failures names a task 'charg', but Shop has charge, ship"):
        run_app(Shop, Order(), failures={"charg": ValueError()})


def test_a_run_can_be_cancelled() -> None:
    finished = run_app(Shop, Order(), cancel_after=3600)
    assert finished.outcome == "Cancelled"
    assert finished.executed == ["charge"]


def test_the_clock_starts_where_the_test_says() -> None:
    class Clock(App):
        async def run(self, input: Order) -> Receipt:
            await self.sleep(60)
            return Receipt(text=self.now().isoformat())

    assert (
        run_app(Clock, Order(), started_at=datetime(2030, 1, 1, tzinfo=UTC)).output.text == "2030-01-01T00:01:00+00:00"
    )


def test_a_run_that_continues_is_followed_with_its_correlation_id() -> None:
    class Loop(Shop):
        async def run(self, input: Order) -> Receipt:
            charged = await self.charge(input)
            if input.id < 3:
                self.continue_with(Order(id=input.id + 1))
            return Receipt(text=f"{charged.text} {self.context.run_id} {self.context.correlation_id}")

    finished = run_app(Loop, Order())
    assert finished.output.text == "charged 3 loop-4 loop-1"
    assert finished.continued_from is not None
    assert finished.continued_from.outcome == "Continued"
    with pytest.raises(RunFailedError, match="after 2 runs"):
        run_app(Loop, Order(), max_runs=2)


def test_heartbeat_details_reach_the_next_attempt() -> None:
    class Resuming(App):
        @task
        async def work(self, input: Order) -> Receipt:
            before = self.task_context.get_heartbeat_details(Details)
            if before is None:
                self.task_context.heartbeat(Details(done=7))
                raise ValueError("crash")
            return Receipt(text=f"went on from {before.done}")

        async def run(self, input: Order) -> Receipt:
            return await self.work(input)

    assert run_app(Resuming, Order()).output.text == "went on from 7"


def test_idempotency_keys_are_the_same_in_all_attempts_and_differ_between_calls() -> None:
    seen: list[str] = []

    class Keys(App):
        @task
        async def work(self, input: Order) -> Receipt:
            seen.append(self.task_context.idempotency_key)
            if self.task_context.attempt == 1:
                raise ValueError
            return Receipt()

        async def run(self, input: Order) -> Receipt:
            await self.work(Order(id=1))
            return await self.work(Order(id=2))

    run_app(Keys, Order())
    assert seen[0] == seen[1] != seen[2] == seen[3]


def test_total_time_is_bounded_by_schedule_to_close() -> None:
    class Bounded(App):
        @task(schedule_to_close_seconds=4, retry_max_attempts=50)
        async def work(self, input: Order) -> Receipt:
            raise ValueError("again")

        async def run(self, input: Order) -> Receipt:
            try:
                return await self.work(input)
            except TaskFailedError as error:
                return Receipt(text=f"{error.attempts < 10}")

    assert run_app(Bounded, Order()).output.text == "True"


class Limited(App):
    @task(timeout_seconds=60, retry_max_attempts=2)
    async def fetch(self, input: Order) -> Receipt:
        return Receipt(text="fetched")

    @task(schedule_to_close_seconds=90)
    async def poll(self, input: Order) -> Receipt:
        return Receipt(text="polled")

    async def run(self, input: Order) -> Receipt:
        return await (self.poll(input) if input.id else self.fetch(input))


def test_an_attempt_that_lasts_too_long_times_out() -> None:
    finished = run_app(Limited, Order(), durations={"fetch": 600})
    assert "fetch' failed after 2 attempts: TimedOut" in finished.message
    assert [(one.attempt, one.reason) for one in finished.executions] == [(1, "TimedOut"), (2, "TimedOut")]
    assert 120 < finished.elapsed_seconds < 130


def test_a_call_that_lasts_too_long_times_out() -> None:
    finished = run_app(Limited, Order(id=1), durations={"poll": 600})
    assert "poll' failed after 1 attempt: TimedOut" in finished.message
    assert finished.elapsed_seconds == 90


def test_an_attempt_within_its_limits_is_made() -> None:
    finished = run_app(Limited, Order(), durations={"fetch": 60})
    assert finished.output.text == "fetched"
    assert [one.reason for one in finished.executions] == ["Completed"]
