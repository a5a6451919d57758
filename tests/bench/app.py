"""The benchmark's app: tasks that do nothing, in a chain or side by side."""

import asyncio

from application_sdk.app import App, ReusePolicy, task
from application_sdk.contracts import Input, Output


class Count(Input):
    sequential: int = 0
    parallel: int = 0
    beside: int = 0
    warm: int = 0
    """Calls in warm pods, one after the other."""
    waves: int = 0
    width: int = 0
    """So many fan-outs of so many calls in warm pods."""


class Number(Input):
    value: int = 0


class Done(Output):
    value: int = 0


class Trivial(App):
    @task
    async def nothing(self, input: Number) -> Done:
        return Done(value=input.value)

    @task(runs_in="driver")
    async def nothing_beside(self, input: Number) -> Done:
        return Done(value=input.value)

    @task(reuse=ReusePolicy(replicas=8, scaledown_ttl=20, idle_ttl=20))
    async def nothing_warm(self, input: Number) -> Done:
        return Done(value=input.value)

    async def run(self, input: Count) -> Done:
        for i in range(input.sequential):
            await self.nothing(Number(value=i))
        await asyncio.gather(*(self.nothing(Number(value=i)) for i in range(input.parallel)))
        for i in range(input.beside):
            await self.nothing_beside(Number(value=i))
        for i in range(input.warm):
            await self.nothing_warm(Number(value=i))
        for wave in range(input.waves):
            numbers = range(wave * input.width, (wave + 1) * input.width)
            await asyncio.gather(*(self.nothing_warm(Number(value=i)) for i in numbers))
        return Done(value=input.sequential + input.parallel)
