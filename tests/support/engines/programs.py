"""Small programs that every engine runs, as the entry points of one app. `catalog` says what each must come to.

One file that imports nothing of the tests: a cluster gets it as it is. What a task body knows of its attempt goes into
its output or into heartbeat details, since nothing else reaches a test from a pod.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from application_sdk.app import (
    App,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    ReusePolicy,
    TaskFailedError,
    entrypoint,
    task,
)
from application_sdk.contracts import HeartbeatDetails, Input, MaxItems, Output

SOON = 0.01
"""Seconds between two attempts."""


class Nothing(Input):
    pass


class Start(Input):
    count: Annotated[int, Field(le=10)] = 3


class Step(Input):
    name: Annotated[str, Field(max_length=100)] = ""
    seconds: float = 0.0


class Text(Output):
    text: str = ""


class Other(Output):
    number: int


class Lines(Output):
    lines: Annotated[list[str], MaxItems(100)] = []


class Values(Input):
    count: int
    id: int | str
    ratio: float
    at: datetime


class SameValues(Output):
    count: int
    id: int | str
    ratio: float
    at: datetime


class Place(HeartbeatDetails):
    key: str
    at: int


VALUES = Values(
    count=2**70,
    id=1234567890123456789,
    ratio=math.nan,
    at=datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York")),
)


def told(error: TaskFailedError) -> str:
    return f"{error.type} after {error.attempts}"


class Tasks(App, abstract=True):
    @task
    async def step(self, input: Step) -> Text:
        await asyncio.sleep(input.seconds)
        return Text(text=input.name)

    @task(retry_initial_interval_seconds=SOON)
    def blocking(self, input: Step) -> Text:
        return Text(text=f"{input.name} in a thread")

    @task(rate="20/s")
    async def rated(self, input: Step) -> Text:
        return Text(text=input.name)

    @task(retry_initial_interval_seconds=SOON)
    async def flaky(self, input: Step) -> Text:
        """Works in its third attempt."""
        if self.task_context.attempt < 3:
            raise ConnectionError(f"no answer in attempt {self.task_context.attempt}")
        return Text(text=f"attempt {self.task_context.attempt}")

    @task(retry_max_attempts=2, retry_initial_interval_seconds=SOON)
    async def hopeless(self, input: Step) -> Text:
        raise ValueError("not today")

    @task(retry_initial_interval_seconds=60, schedule_to_close_seconds=20)
    async def hopeless_in_time(self, input: Step) -> Text:
        raise ValueError("not within the minute")

    @task
    async def permanent(self, input: Step) -> Text:
        raise NonRetryableError("never")

    @task(retry_policy=RetryPolicy(non_retryable_errors=(KeyError, "TimeoutError")))
    async def permanent_by_name(self, input: Step) -> Text:
        raise KeyError("never")

    @task(retry_initial_interval_seconds=60)
    async def asks_for_time(self, input: Step) -> Text:
        if self.task_context.attempt == 1:
            raise RetryableError("429 Too Many Requests", after=timedelta(seconds=SOON))
        return Text(text=f"attempt {self.task_context.attempt}")

    @task(timeout_seconds=0.2, retry_initial_interval_seconds=SOON)
    async def slow_at_first(self, input: Step) -> Text:
        if self.task_context.attempt == 1:
            await asyncio.sleep(30)
        return Text(text=f"attempt {self.task_context.attempt}")

    @task(schedule_to_close_seconds=1.5)
    async def too_slow(self, input: Step) -> Text:
        await asyncio.sleep(30)
        return Text(text="late")

    @task(retry_initial_interval_seconds=SOON)
    async def resuming(self, input: Step) -> Text:
        """Its second attempt goes on where the first one left off."""
        place = self.task_context.get_heartbeat_details(Place)
        if place is None:
            for at in range(1, 8):
                self.task_context.heartbeat(Place(key=self.task_context.idempotency_key, at=at))
            raise ConnectionError("lost the line")
        same = "the same key" if place.key == self.task_context.idempotency_key else "another key"
        return Text(text=f"attempt {self.task_context.attempt} from {place.at} with {same}")

    # The timeout is longer than a loaded machine pauses: the second attempt has to hold it.
    @task(heartbeat_timeout_seconds=2, auto_heartbeat_seconds=0.1, retry_initial_interval_seconds=SOON)
    async def silent_at_first(self, input: Step) -> Text:
        place = self.task_context.get_heartbeat_details(Place)
        if place is None:
            self.task_context.heartbeat(Place(key=self.task_context.idempotency_key, at=7))
            time.sleep(4)  # noqa: ASYNC251 - holds up the event loop on purpose
            return Text(text="nobody minded")
        same = "the same key" if place.key == self.task_context.idempotency_key else "another key"
        return Text(text=f"attempt {self.task_context.attempt} from {place.at} with {same}")

    @task(retry_initial_interval_seconds=SOON)
    async def dies_at_first(self, input: Step) -> Text:
        if self.task_context.attempt == 1:
            os._exit(3)
        return Text(text=f"attempt {self.task_context.attempt}")

    @task(retry_max_attempts=1)
    async def leaves(self, input: Step) -> Text:
        sys.exit(3)

    @task(retry_max_attempts=1)
    async def fails_twice_at_once(self, input: Step) -> Text:
        async def fail(error: Exception) -> None:
            raise error

        async with asyncio.TaskGroup() as group:
            group.create_task(fail(ValueError("one")))
            group.create_task(fail(KeyError("two")))
        return Text()

    @task
    async def key(self, input: Step) -> Text:
        return Text(text=self.task_context.idempotency_key)

    @task
    async def key_in_threads(self, input: Step) -> Text:
        """Whether threads of the task know the attempt that they work for."""
        keys: list[str] = []

        def ask() -> None:
            keys.append(self.task_context.idempotency_key)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        await self.task_context.run_in_thread(ask)
        own = self.task_context.idempotency_key
        return Text(text=" ".join("own" if key == own else repr(key) for key in keys))

    @task(runs_in="driver", retry_initial_interval_seconds=SOON)
    async def quick(self, input: Step) -> Text:
        """In the driver: fails, blocks and is out of time in its first attempts, or for good, as its name says."""
        attempt = self.task_context.attempt
        if input.name == "fails" or (input.name == "flaky" and attempt < 3):
            raise ValueError(f"not in attempt {attempt}")
        if input.name == "permanent":
            raise NonRetryableError("never")
        await asyncio.sleep(input.seconds if attempt == 1 else 0)
        return Text(text=f"{input.name} in attempt {attempt}")

    @task(reuse=ReusePolicy(replicas=2), retry_initial_interval_seconds=SOON)
    async def warm(self, input: Step) -> Text:
        """In a warm pod, where there are pods: fails in its first attempts, or for good, as its name says."""
        attempt = self.task_context.attempt
        if input.name == "fails" or (input.name == "flaky" and attempt < 3):
            raise ValueError(f"not in attempt {attempt}")
        return Text(text=f"{input.name} in attempt {attempt}")

    @task
    async def same(self, input: Values) -> SameValues:
        return SameValues(count=input.count, id=input.id, ratio=input.ratio, at=input.at)

    @task
    async def too_large(self, input: Step) -> Text:
        return Text(text="x" * 300_000)

    @task
    async def wrong(self, input: Step) -> Text:
        return Other(number=1)  # type: ignore[return-value] # that is what it shows


class Programs(Tasks):
    @entrypoint(default=True)
    async def sequence(self, input: Nothing) -> Lines:
        names = [(await self.step(Step(name=name))).text for name in ("one", "two")]
        return Lines(lines=[*names, (await self.blocking(Step(name="three"))).text])

    @entrypoint
    async def side_by_side(self, input: Nothing) -> Lines:
        steps = [Step(name="last", seconds=0.6), Step(name="second", seconds=0.3), Step(name="first")]
        return Lines(lines=[done.text for done in await asyncio.gather(*map(self.step, steps))])

    @entrypoint
    async def collected_errors(self, input: Nothing) -> Lines:
        calls = self.step(Step(name="works")), self.hopeless(Step())
        works, fails = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(works, Text)
        assert isinstance(fails, TaskFailedError)
        return Lines(lines=[works.text, told(fails)])

    @entrypoint
    async def grouped(self, input: Nothing) -> Lines:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.permanent(Step()))
        except* TaskFailedError as errors:
            lines = [f"{type(error).__name__} {error}" for error in errors.exceptions]
        return Lines(lines=lines)

    @entrypoint
    async def mapped(self, input: Nothing) -> Lines:
        done = await self.map(self.step, [Step(name=f"{n}") for n in range(5)], limit=2)
        return Lines(lines=[line.text for line in done])

    @entrypoint
    async def with_a_rate(self, input: Nothing) -> Lines:
        done = await asyncio.gather(*(self.rated(Step(name=f"{n}")) for n in range(3)))
        return Lines(lines=[line.text for line in done])

    @entrypoint
    async def retried(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.flaky(Step())).text])

    @entrypoint
    async def used_up(self, input: Nothing) -> Lines:
        """The error of a task is caught, and the route goes on."""
        try:
            await self.hopeless(Step())
        except TaskFailedError as error:
            line = told(error)
        return Lines(lines=[line, (await self.step(Step(name="went on"))).text])

    @entrypoint
    async def failing(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.hopeless(Step())).text])

    @entrypoint
    async def out_of_time(self, input: Nothing) -> Lines:
        """The next attempt would come after the call's time."""
        return Lines(lines=[(await self.hopeless_in_time(Step())).text])

    @entrypoint
    async def non_retryable(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.permanent(Step())).text])

    @entrypoint
    async def non_retryable_by_name(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.permanent_by_name(Step())).text])

    @entrypoint
    async def retried_when_asked(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.asks_for_time(Step())).text])

    @entrypoint
    async def late_attempt(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.slow_at_first(Step())).text])

    @entrypoint
    async def late_call(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.too_slow(Step())).text])

    @entrypoint
    async def resumed(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.resuming(Step())).text])

    @entrypoint
    async def silent(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.silent_at_first(Step())).text])

    @entrypoint
    async def dying(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.dies_at_first(Step())).text])

    @entrypoint
    async def beside(self, input: Nothing) -> Lines:
        lines = [(await self.quick(Step(name="plain"))).text, (await self.quick(Step(name="flaky"))).text]
        for name in ("fails", "permanent"):
            try:
                await self.quick(Step(name=name))
            except TaskFailedError as error:
                lines.append(told(error))
        slow = self.quick.options(timeout_seconds=0.2)
        return Lines(lines=[*lines, (await slow(Step(name="slow", seconds=30))).text])

    @entrypoint
    async def reused(self, input: Nothing) -> Lines:
        lines = [(await self.warm(Step(name=name))).text for name in ("plain", "plain", "flaky")]
        try:
            await self.warm(Step(name="fails"))
        except TaskFailedError as error:
            lines.append(told(error))
        return Lines(lines=lines)

    @entrypoint
    async def leaving(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.leaves(Step())).text])

    @entrypoint
    async def exception_group(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.fails_twice_at_once(Step())).text])

    @entrypoint
    async def abandoned(self, input: Nothing) -> Lines:
        try:
            async with asyncio.timeout(1):
                await self.step(Step(name="slow", seconds=20))
        except TimeoutError:
            pass
        done = await self.step(Step(name="next"))
        await self.sleep(0.5)
        return Lines(lines=[done.text])

    @entrypoint
    async def keyed(self, input: Nothing) -> Lines:
        keys = [await call(Step()) for call in (self.key, self.key, self.key.keyed("orders-42"))]
        return Lines(lines=[key.text for key in keys])

    @entrypoint
    async def sleeping(self, input: Nothing) -> Lines:
        before = self.now()
        await self.sleep(0.2)
        return Lines(lines=[f"slept long enough: {self.now() - before >= timedelta(seconds=0.2)}"])

    @entrypoint
    async def chance_and_time(self, input: Nothing) -> Lines:
        """Stalls when a replay gets other values: they are inputs of tasks."""
        drawn = f"{self.uuid()} {self.random().random()} {self.now()}"
        first = await self.step(Step(name=drawn))
        second = await self.step(Step(name=f"{self.uuid()} {self.random().random()} {self.now()}"))
        return Lines(lines=[f"drawn once: {first.text == drawn}, and anew: {second.text != drawn}"])

    @entrypoint
    async def values(self, input: Nothing) -> Lines:
        got = await self.same(VALUES)
        return Lines(lines=[str(got.count), repr(got.id), str(got.ratio), got.at.isoformat()])

    @entrypoint
    async def large_output(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.too_large(Step())).text])

    @entrypoint
    async def wrong_type(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.wrong(Step())).text])

    @entrypoint
    async def refused_call(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.step(Step.model_construct(name="x" * 101, seconds=0.0))).text])

    @entrypoint
    async def refused_input(self, input: Start) -> Lines:
        return Lines(lines=[f"{input.count}"])

    @entrypoint
    async def threads(self, input: Nothing) -> Lines:
        return Lines(lines=[(await self.key_in_threads(Step())).text])

    @entrypoint
    async def broken(self, input: Nothing) -> Lines:
        """The route itself fails."""
        raise LookupError((await self.step(Step(name="nothing of that name"))).text)

    @entrypoint
    async def cancelled(self, input: Nothing) -> Lines:
        await self.step(Step(name="before"))
        try:
            return Lines(lines=[(await self.step(Step(name="long", seconds=20))).text])
        except asyncio.CancelledError:
            await self.step(Step(name="clean-up"))
            raise
