"""An app that makes more calls than a status holds, most without a pod; and one whose task wants what there isn't."""

import asyncio

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Paged(App):
    @task
    async def first(self, input: Input) -> Output:
        return Output()

    async def run(self, input: Input) -> Output:
        await self.first(Input())
        await asyncio.gather(*(self.sleep(0.5) for _ in range(260)))
        await self.sleep(3600)
        return Output()


class Wanting(App):
    @task(secrets=["absent"])
    async def wants(self, input: Input) -> Output:
        return Output()

    async def run(self, input: Input) -> Output:
        return await self.wants(Input())
