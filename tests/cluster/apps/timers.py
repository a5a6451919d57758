"""More calls than a status holds, without a pod for each; then time for a driver to be lost, and one task. And an app
whose task wants what there isn't."""

import asyncio

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Timers(App):
    @task
    async def last(self, input: Input) -> Output:
        return Output()

    async def run(self, input: Input) -> Output:
        await asyncio.gather(*(self.sleep(0.5) for _ in range(260)))
        await self.sleep(20)
        return await self.last(Input())


class Wanting(App):
    @task(secrets=["absent"])
    async def wants(self, input: Input) -> Output:
        return Output()

    async def run(self, input: Input) -> Output:
        return await self.wants(Input())
