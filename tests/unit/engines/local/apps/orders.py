"""An app for the tests of the local engine. Its tasks write each execution into a journal outside of the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from application_sdk.app import App, NonRetryableError, TaskFailedError, entrypoint, task
from application_sdk.contracts import HeartbeatDetails, Input, Output


class OrderInput(Input):
    journal: str
    count: int = 3


class StepInput(Input):
    journal: str
    step: str
    pause: float = 0.0


class StepOutput(Output):
    said: str = ""


class Cursor(HeartbeatDetails):
    page: int = 0


def note(journal: str, line: str) -> None:
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")


class Orders(App):
    @task
    async def step(self, input: StepInput) -> StepOutput:
        note(input.journal, input.step)
        return StepOutput(said=input.step.upper())

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def refuse(self, input: StepInput) -> StepOutput:
        note(input.journal, f"refuse {self.task_context.attempt} {self.task_context.idempotency_key}")
        raise ValueError("not today")

    @task(retry_max_attempts=3, retry_max_interval_seconds=0.01)
    async def crash(self, input: StepInput) -> StepOutput:
        note(input.journal, f"crash {self.task_context.attempt}")
        print("about to crash")
        if self.task_context.attempt == 1:
            os._exit(3)
        if self.task_context.attempt == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return StepOutput(said="survived")

    @task(retry_max_attempts=1, timeout_seconds=0.2)
    async def hang(self, input: StepInput) -> StepOutput:
        note(input.journal, f"hang {os.getpid()}")
        while True:
            time.sleep(60)  # noqa: ASYNC251 - blocks on purpose

    @task(retry_max_attempts=1, heartbeat_timeout_seconds=0.4, auto_heartbeat_seconds=0.1)
    async def fall_silent(self, input: StepInput) -> StepOutput:
        time.sleep(60)  # noqa: ASYNC251 - blocks on purpose
        return StepOutput()

    @task(retry_max_attempts=1)
    async def wait(self, input: StepInput) -> StepOutput:
        note(input.journal, f"wait {os.getpid()}")
        try:
            await asyncio.sleep(input.pause or 60)
        except asyncio.CancelledError:
            note(input.journal, "wait gave way")
            raise
        return StepOutput(said="waited")

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def pages(self, input: StepInput) -> StepOutput:
        cursor = self.task_context.get_heartbeat_details(Cursor) or Cursor()
        self.task_context.progress(cursor.page, 10, "pages")
        if cursor.page == 0:
            self.task_context.heartbeat(Cursor(page=7))
            raise ValueError("half-way")
        return StepOutput(said=f"from page {cursor.page}")

    @task
    async def until_allowed(self, input: StepInput) -> StepOutput:
        note(input.journal, "asked")
        if not Path(f"{input.journal}.allowed").exists():  # noqa: ASYNC240
            raise NonRetryableError("nobody has allowed it")
        return StepOutput(said="allowed")

    async def run(self, input: OrderInput) -> StepOutput:
        first = await self.step(StepInput(journal=input.journal, step="first"))
        branches = [self.step(StepInput(journal=input.journal, step=f"branch {n}")) for n in range(input.count)]
        said = await asyncio.gather(*branches)
        await asyncio.sleep(0.01)
        last = await self.step(StepInput(journal=input.journal, step="last"))
        return StepOutput(said=" ".join(one.said for one in (first, *said, last)))

    @entrypoint
    async def crashing(self, input: OrderInput) -> StepOutput:
        return await self.crash(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def hanging(self, input: OrderInput) -> StepOutput:
        return await self.hang(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def silent(self, input: OrderInput) -> StepOutput:
        return await self.fall_silent(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def refused(self, input: OrderInput) -> StepOutput:
        try:
            return await self.refuse(StepInput(journal=input.journal, step=""))
        except TaskFailedError as error:
            return StepOutput(said=f"{error.type} after {error.attempts}: {error.message}")

    @entrypoint
    async def waiting(self, input: OrderInput) -> StepOutput:
        await self.step(StepInput(journal=input.journal, step="first"))
        try:
            return await self.wait(StepInput(journal=input.journal, step=""))
        except asyncio.CancelledError:
            await self.step(StepInput(journal=input.journal, step="cleaned up"))
            raise

    @entrypoint
    async def paging(self, input: OrderInput) -> StepOutput:
        return await self.pages(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def needs_permission(self, input: OrderInput) -> StepOutput:
        _, allowed = await asyncio.gather(
            self.step(StepInput(journal=input.journal, step="beside")),
            self.until_allowed(StepInput(journal=input.journal, step="")),
        )
        await self.step(StepInput(journal=input.journal, step="after"))
        return allowed

    @entrypoint
    async def counting_down(self, input: OrderInput) -> StepOutput:
        await self.step(StepInput(journal=input.journal, step=f"at {input.count}"))
        if input.count:
            self.continue_with(OrderInput(journal=input.journal, count=input.count - 1))
        return StepOutput(said="done")

    @entrypoint
    async def abandoning(self, input: OrderInput) -> StepOutput:
        left = asyncio.ensure_future(self.wait(StepInput(journal=input.journal, step="")))
        await self.step(StepInput(journal=input.journal, step="first"))
        await asyncio.sleep(0.05)
        left.cancel()
        return StepOutput(said="went on")


if __name__ == "__main__":
    sys.exit("this module is imported, not run")
