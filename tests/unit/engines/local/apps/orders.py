"""An app for the tests of the local engine. Its tasks write each execution into a journal outside of the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from application_sdk.app import App, NonRetryableError, TaskFailedError, entrypoint, task
from application_sdk.contracts import HeartbeatDetails, Input, Output

POOL = ThreadPoolExecutor(1)
"""One for all attempts of the process, as programs have it."""


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

    @task(retry_max_attempts=1)
    async def give_way_slowly(self, input: StepInput) -> StepOutput:
        self.task_context.progress(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            time.sleep(input.pause)  # noqa: ASYNC251 - longer than its route takes to end
            raise
        return StepOutput()

    @task(retry_max_attempts=1)
    async def outlast(self, input: StepInput) -> StepOutput:
        """Its first attempt ends only when it is killed."""
        if self.task_context.attempt == 1:
            time.sleep(60)  # noqa: ASYNC251 - until it is killed
        return StepOutput(said=f"{input.step} at attempt {self.task_context.attempt}")

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def pages(self, input: StepInput) -> StepOutput:
        cursor = self.task_context.get_heartbeat_details(Cursor) or Cursor()
        self.task_context.progress(cursor.page, 10, "pages")
        if cursor.page == 0:
            self.task_context.heartbeat(Cursor(page=7))
            raise ValueError("half-way")
        return StepOutput(said=f"from page {cursor.page}")

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def beat_twice_and_die(self, input: StepInput) -> StepOutput:
        cursor = self.task_context.get_heartbeat_details(Cursor)
        if cursor is not None:
            return StepOutput(said=f"from page {cursor.page}")
        for page in (1, 2):
            self.task_context.heartbeat(Cursor(page=page))
        time.sleep(1)  # noqa: ASYNC251 - longer than the interval in which heartbeats are told, with a busy loop
        os.kill(os.getpid(), signal.SIGKILL)
        return StepOutput()

    @task(retry_max_attempts=1)
    async def end_a_fork(self, input: StepInput) -> StepOutput:
        child = os.fork()
        if child == 0:
            time.sleep(60)  # noqa: ASYNC251 - until it is ended
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - the child is ended already
        await asyncio.sleep(0.05)  # long enough for a cancellation to arrive
        return StepOutput(said=f"child {os.waitstatus_to_exitcode(status)}, attempt {self.task_context.attempt}")

    @task
    async def use_threads(self, input: StepInput) -> StepOutput:
        found: list[str] = []

        def work() -> None:
            found.append(self.task_context.idempotency_key)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        POOL.submit(work).result()
        await asyncio.get_running_loop().run_in_executor(None, work)
        own = self.task_context.idempotency_key
        return StepOutput(said=" ".join("own" if key == own else repr(key) for key in found))

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

    @task(retry_max_attempts=1)
    async def cling(self, input: StepInput) -> StepOutput:
        self.task_context.progress(1)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return StepOutput()

    @entrypoint
    async def clinging(self, input: OrderInput) -> StepOutput:
        return await self.cling(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def lingering(self, input: OrderInput) -> StepOutput:
        return await self.give_way_slowly(StepInput(journal=input.journal, step="", pause=0.5))

    @entrypoint
    async def outlasting(self, input: OrderInput) -> StepOutput:
        calls = [self.outlast(StepInput(journal=input.journal, step=f"branch {n}")) for n in range(input.count)]
        return StepOutput(said=", ".join(one.said for one in await asyncio.gather(*calls)))

    @entrypoint
    async def paging(self, input: OrderInput) -> StepOutput:
        return await self.pages(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def beating(self, input: OrderInput) -> StepOutput:
        return await self.beat_twice_and_die(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def forking(self, input: OrderInput) -> StepOutput:
        return await self.end_a_fork(StepInput(journal=input.journal, step=""))

    @entrypoint
    async def threading(self, input: OrderInput) -> StepOutput:
        steps = [self.use_threads(StepInput(journal=input.journal, step=f"{n}")) for n in range(input.count)]
        return StepOutput(said=" / ".join(one.said for one in await asyncio.gather(*steps)))

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
    async def impatient(self, input: OrderInput) -> StepOutput:
        try:
            async with asyncio.timeout(0.05):
                await self.wait(StepInput(journal=input.journal, step="", pause=30))
        except TimeoutError:
            pass
        done = await self.step(StepInput(journal=input.journal, step="next"))
        await asyncio.sleep(0.05)
        await self.step(StepInput(journal=input.journal, step="last"))
        return done

    @entrypoint
    async def abandoning(self, input: OrderInput) -> StepOutput:
        left = asyncio.ensure_future(self.wait(StepInput(journal=input.journal, step="")))
        await self.step(StepInput(journal=input.journal, step="first"))
        await asyncio.sleep(0.05)
        left.cancel()
        return StepOutput(said="went on")


if __name__ == "__main__":
    sys.exit("this module is imported, not run")
