"""Small real apps for simulated clusters. Each task body tells `witness` that it began and that it did its work."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from application_sdk.app import App, NonRetryableError, ReusePolicy, TaskFailedError, task
from application_sdk.contracts import HeartbeatDetails, Input, MaxItems, Output
from application_sdk.handler import DefaultHandler, PreflightInput, PreflightOutput, PreflightStatus


def witness(key: str, moment: str) -> None:
    """Called with a task's idempotency key and `began` or `done`. The cluster that runs the app replaces it."""


class Step(Input):
    name: str
    seconds: float = 1.0
    fail_attempts: int = 0
    permanent: bool = False


class Done(Output):
    name: str
    nothing: str | None = None


class Cursor(HeartbeatDetails):
    at: int = 0


class Names(Output):
    names: Annotated[list[str], MaxItems(2000)] = []


class MixedInput(Input):
    width: int = 3
    seconds: float = 1.0
    rounds: int = 0
    timer: float = 2.0


class Steps(App, abstract=True):
    @task(retry_max_attempts=3, retry_max_interval_seconds=2)
    async def step(self, input: Step) -> Done:
        key = self.task_context.idempotency_key
        witness(key, "began")
        if input.permanent:
            raise NonRetryableError(f"{input.name} can never work")
        if self.task_context.attempt <= input.fail_attempts:
            raise ValueError(f"{input.name} fails in attempt {self.task_context.attempt}")
        await asyncio.sleep(input.seconds)
        witness(key, "done")
        return Done(name=input.name)

    @task(retry_max_attempts=3)
    def blocking(self, input: Step) -> Done:
        key = self.task_context.idempotency_key
        witness(key, "began")
        witness(key, "done")
        return Done(name=input.name)

    @task(retry_max_attempts=3, heartbeat_timeout_seconds=30)
    async def counting(self, input: Step) -> Done:
        key = self.task_context.idempotency_key
        witness(key, "began")
        cursor = self.task_context.get_heartbeat_details(Cursor) or Cursor()
        for at in range(cursor.at, 3):
            await asyncio.sleep(input.seconds)
            self.task_context.heartbeat(Cursor(at=at + 1))
        witness(key, "done")
        return Done(name=input.name)


class Beside(Steps):
    """Driver tasks in sequence and side by side, one that fails, one that fails once and one whose process ends."""

    @task(runs_in="driver", retry_initial_interval_seconds=0.5)
    async def quick(self, input: Step) -> Done:
        key = self.task_context.idempotency_key
        witness(key, "began")
        await asyncio.sleep(input.seconds)
        if input.permanent:
            raise NonRetryableError(f"{input.name} can never work")
        if self.task_context.attempt <= input.fail_attempts:
            os._exit(7)
        witness(key, "done")
        return Done(name=input.name)

    async def run(self, input: MixedInput) -> Names:
        names = [(await self.quick(Step(name="first", seconds=0.1))).name]
        names.append((await self.step(Step(name="in a pod"))).name)
        wide = [self.quick(Step(name=f"wide-{n}", seconds=0.1 + n)) for n in range(input.width)]
        names += [done.name for done in await asyncio.gather(*wide)]
        names.append((await self.quick(Step(name="again", seconds=0.1, fail_attempts=1))).name)
        try:
            await self.quick(Step(name="never", seconds=0.1, permanent=True))
        except TaskFailedError as error:
            names.append(type(error).__name__)
        return Names(names=names)


class Warm(Steps):
    """Tasks in warm pods: in sequence, side by side, some that fail and one whose process ends."""

    @task(
        reuse=ReusePolicy(replicas=2, idle_ttl=6, scaledown_ttl=4), retry_max_attempts=3, retry_max_interval_seconds=2
    )
    async def warm(self, input: Step) -> Done:
        key = self.task_context.idempotency_key
        witness(key, "began")
        await asyncio.sleep(input.seconds)
        if input.permanent:
            raise NonRetryableError(f"{input.name} can never work")
        if self.task_context.attempt <= input.fail_attempts:
            if input.name == "dies":
                os._exit(7)
            raise ValueError(f"{input.name} fails in attempt {self.task_context.attempt}")
        witness(key, "done")
        return Done(name=input.name)

    async def run(self, input: MixedInput) -> Names:
        names = [(await self.warm(Step(name="first", seconds=0.1))).name]
        names.append((await self.warm(Step(name="second", seconds=0.1))).name)
        wide = [self.warm(Step(name=f"wide-{n}", seconds=input.seconds + n)) for n in range(input.width)]
        names += [done.name for done in await asyncio.gather(*wide)]
        names.append((await self.step(Step(name="in a pod of its own"))).name)
        names.append((await self.warm(Step(name="again", seconds=0.1, fail_attempts=1))).name)
        names.append((await self.warm(Step(name="dies", seconds=0.1, fail_attempts=1))).name)
        try:
            await self.warm(Step(name="never", seconds=0.1, permanent=True))
        except TaskFailedError as error:
            names.append(type(error).__name__)
        return Names(names=names)


class Many(Warm):
    """Many short calls side by side, in few pods."""

    async def run(self, input: MixedInput) -> Names:
        calls = [self.warm(Step(name=f"call-{n}", seconds=0.2)) for n in range(input.width)]
        return Names(names=[done.name for done in await asyncio.gather(*calls)])


class Leaving(Beside):
    """Gives up a driver task, and undoes with another one what it did when it is cancelled."""

    async def run(self, input: MixedInput) -> Names:
        try:
            async with asyncio.timeout(2):
                await self.quick(Step(name="left", seconds=8))
        except TimeoutError:
            pass
        try:
            await self.quick(Step(name="long", seconds=9))
            await self.quick(Step(name="longer", seconds=9))
        except asyncio.CancelledError:
            await self.quick(Step(name="undo", seconds=0.1))
            raise
        return Names(names=["whole"])


class Mixed(Steps):
    """In sequence, side by side, a timer, a failure that is caught; as many rounds as wished."""

    async def run(self, input: MixedInput) -> Names:
        names = [(await self.step(Step(name="first", seconds=input.seconds))).name]
        wide = [self.step(Step(name=f"wide-{n}", seconds=input.seconds + n % 2)) for n in range(input.width)]
        names += [done.name for done in await asyncio.gather(*wide)]
        if input.timer:
            await self.sleep(input.timer)
        names.append((await self.blocking(Step(name="blocking"))).name)
        for n in range(input.rounds):
            names.append((await self.step(Step(name=f"round-{n}", seconds=input.seconds))).name)
        return Names(names=names)


class Chain(Steps):
    """Tasks one after the other."""

    async def run(self, input: MixedInput) -> Names:
        return Names(
            names=[(await self.step(Step(name=f"{n}", seconds=input.seconds))).name for n in range(input.width)]
        )


class Wide(Steps):
    """Tasks side by side."""

    async def run(self, input: MixedInput) -> Names:
        calls = [self.step(Step(name=f"{n}", seconds=input.seconds)) for n in range(input.width)]
        return Names(names=[done.name for done in await asyncio.gather(*calls)])


class Patient(Steps):
    """Waits long, twice: for a timer beside a task, then for a task alone. It cleans up when it is cancelled."""

    async def run(self, input: MixedInput) -> Names:
        try:
            first = self.step(Step(name="first", seconds=2 * input.seconds))
            _, done = await asyncio.gather(self.sleep(input.seconds), first)
            last = await self.step(Step(name="last", seconds=input.seconds))
        except asyncio.CancelledError:
            await self.step(Step(name="undo"))
            raise
        return Names(names=[done.name, last.name])


class Failing(Steps):
    """One task fails twice and then works, one fails for good; the route goes on from that."""

    async def run(self, input: MixedInput) -> Names:
        async def caught() -> str:
            try:
                return (await self.step(Step(name="never", permanent=True))).name
            except TaskFailedError as error:
                return type(error).__name__

        late = self.step(Step(name="late", fail_attempts=2))
        outcomes = await asyncio.gather(late, caught())
        return Names(names=[outcomes[0].name, outcomes[1]])


class Broken(Steps):
    """The route itself fails."""

    async def run(self, input: MixedInput) -> Names:
        await self.step(Step(name="first"))
        await self.step(Step(name="never", permanent=True))
        return Names()


class Tidy(Steps):
    """Works until it is cancelled, and undoes it then."""

    async def run(self, input: MixedInput) -> Names:
        try:
            await self.step(Step(name="before"))
            await asyncio.gather(*(self.step(Step(name=f"long-{n}", seconds=500)) for n in range(input.width)))
        except asyncio.CancelledError:
            await self.step(Step(name="undo"))
            raise
        return Names(names=["whole"])

    async def on_complete(self) -> None:
        await self.blocking(Step(name="last"))


class Link(Steps):
    """Goes on as a new run until `rounds` is 0."""

    async def run(self, input: MixedInput) -> Names:
        await self.step(Step(name=f"link-{input.rounds}"))
        if input.rounds:
            self.continue_with(MixedInput(rounds=input.rounds - 1))
        return Names(names=["end"])


class Counting(Steps):
    """A task with heartbeat details, which a later attempt goes on from."""

    async def run(self, input: MixedInput) -> Names:
        return Names(names=[(await self.counting(Step(name="counting", seconds=input.seconds))).name])


class Tally(Steps):
    """Its tasks count up in the app's state, two of them at the same time."""

    @task(retry_max_attempts=5, retry_max_interval_seconds=2)
    async def count(self, input: Step) -> Done:
        key = self.task_context.idempotency_key
        witness(key, "began")
        state = await self.context.load_state("count") or {"n": 0}
        await asyncio.sleep(input.seconds)
        await self.context.save_state("count", {"n": state["n"] + 1})
        await self.context.save_state(input.name, {"price": "$(HOME)"})
        witness(key, "done")
        return Done(name=input.name)

    async def run(self, input: MixedInput) -> Names:
        await self.count(Step(name="first"))
        await asyncio.gather(self.count(Step(name="second")), self.count(Step(name="third")))
        return Names(names=["counted"])


class Gated(Steps):
    """Its handler lets runs with any width pass."""

    preflight_gate_mode = "hard"

    async def run(self, input: MixedInput) -> Names:
        return Names(names=[(await self.step(Step(name=f"{n}"))).name for n in range(input.width)])


class GatedHandler(DefaultHandler):
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        await asyncio.sleep(1)
        return PreflightOutput(status=PreflightStatus.READY if input.metadata["width"] else PreflightStatus.NOT_READY)
