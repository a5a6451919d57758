"""An app for the tests of state on this machine: it counts in what it keeps."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, Output


class OrderInput(Input):
    journal: str
    count: int = 3


class Number(Output):
    n: int = 0
    attempt: int = 0


class Orders(App):
    async def add_one(self) -> Number:
        found = await self.context.load_state("count") or {"n": 0}
        assert isinstance(found["n"], int)
        await self.context.save_state("count", {"n": found["n"] + 1})
        return Number(n=found["n"] + 1, attempt=self.task_context.attempt)

    @task
    async def count(self, input: OrderInput) -> Number:
        return await self.add_one()

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def count_badly(self, input: OrderInput) -> Number:
        added = await self.add_one()
        if self.task_context.attempt == 1:
            if input.count == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("not today")
        return added

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def count_beside(self, input: OrderInput) -> Number:
        added = await self.add_one()
        await self.run_in_thread(meet, Path(input.journal))
        return added

    @task
    async def hoard(self, input: OrderInput) -> Number:
        await self.context.save_state(f"large {input.count}", {"text": "x" * 60_000})
        return Number()

    async def run(self, input: OrderInput) -> Number:
        for number in range(input.count):
            last = await self.count(OrderInput(journal=input.journal, count=number))
        return last

    @entrypoint
    async def badly(self, input: OrderInput) -> Number:
        return await self.count_badly(input)

    @entrypoint
    async def beside(self, input: OrderInput) -> Number:
        one, two = await asyncio.gather(
            *(self.count_beside(OrderInput(journal=input.journal, count=n)) for n in range(2))
        )
        return max(one, two, key=lambda number: number.n)

    @entrypoint
    async def hoarding(self, input: OrderInput) -> Number:
        for number in range(2):
            last = await self.hoard(OrderInput(journal=input.journal, count=number))
        return last


def meet(journal: Path) -> None:
    """Return when both tasks have loaded what there is."""
    with journal.open("a") as file:
        file.write("loaded\n")
    while len(journal.read_text().splitlines()) < 2:
        time.sleep(0.01)
