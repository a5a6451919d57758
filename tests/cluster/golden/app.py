"""The app of the recorded runs beside it, as it was when they were recorded. Beside it lies apps/probe.py."""

import asyncio

from probe import witness

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Step(Input):
    name: str
    seconds: float = 0


class Done(Output):
    name: str


class Recorded(App):
    @task
    async def step(self, input: Step) -> Done:
        await asyncio.sleep(input.seconds)
        await asyncio.to_thread(witness, self.task_context.idempotency_key, self.task_context.attempt)
        return Done(name=input.name)

    async def run(self, input: Input) -> Done:
        first = await self.step(Step(name="first"))
        second = await self.step(Step(name=f"after {first.name}"))
        wide = [self.step(Step(name=f"{second.name}, {i}", seconds=6)) for i in range(4)]
        names = [done.name for done in await asyncio.gather(*wide)]
        return await self.step(Step(name=", ".join(sorted(names))))
