"""The app of the scale measurement: calls side by side, on nodes that only pretend to run their pods."""

import asyncio

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Count(Input):
    calls: int = 0


class Number(Input):
    value: int = 0


class Done(Output):
    value: int = 0


class Pretended(App):
    @task(node_selector={"type": "kwok"}, tolerations=[{"key": "kwok", "operator": "Exists"}])
    async def nothing(self, input: Number) -> Done:
        return Done(value=input.value)

    async def run(self, input: Count) -> Done:
        done = await asyncio.gather(*(self.nothing(Number(value=i)) for i in range(input.calls)))
        return Done(value=sum(each.value for each in done))
