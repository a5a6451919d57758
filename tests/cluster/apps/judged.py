"""An app whose runs end in each way that a GitOps tool has to tell apart."""

import asyncio
from typing import Literal

from application_sdk.app import App, NonRetryableError, task
from application_sdk.contracts import Input, Output


class Fate(Input):
    end: Literal["well", "badly"] = "well"
    seconds: int = 2


class Done(Output):
    pass


class Judged(App):
    @task(timeout_seconds=120)
    async def work(self, input: Fate) -> Done:
        await asyncio.sleep(input.seconds)
        if input.end == "badly":
            raise NonRetryableError("as it was told to")
        return Done()

    async def run(self, input: Fate) -> Done:
        return await self.work(input)
