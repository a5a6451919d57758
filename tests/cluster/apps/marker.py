"""Incremental work by a marker that survives runs; and two tasks that want to move the same one."""

import asyncio

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Ask(Input):
    how: str = "advance"
    key: str = "marker"
    seconds: float = 0
    price: str = "$(HOME) $$5 Åsa"


class Told(Output):
    found: int = 0
    price: str = ""
    attempt: int = 0


class Marker(App):
    @task
    async def advance(self, input: Ask) -> Told:
        found = await self.context.load_state(input.key) or {"at": 0, "price": ""}
        await asyncio.sleep(input.seconds)
        await self.context.save_state(input.key, {"at": found["at"] + 1, "price": input.price})
        return Told(found=found["at"], price=found["price"], attempt=self.task_context.attempt)

    @task(retry_max_attempts=1)
    async def fail_after(self, input: Ask) -> Told:
        await self.context.save_state(input.key, {"at": 99, "price": ""})
        raise ValueError("after it had saved")

    async def run(self, input: Ask) -> Told:
        if input.how == "twice":
            await self.advance(input)
        if input.how == "at-once":
            first, second = await asyncio.gather(self.advance(input), self.advance(Ask(seconds=0.1)))
            return first if first.found > second.found else second
        if input.how == "fail":
            return await self.fail_after(input)
        return await self.advance(input)
