"""Driver tasks of all kinds: they end well, fail, die and are repeated. What a body did is printed, with its key."""

import asyncio
import os
import pathlib
import signal
import sys

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.errors import NonRetryableError, TaskFailedError


class Steps(Input):
    """What the route does."""

    steps: int = 20
    fail: str = ""


class Step(Input):
    """One step."""

    number: int = 0
    how: str = ""


class Done(Output):
    """What a step, or a run, has to say."""

    number: int = 0
    said: str = ""


class BesideRoute(App):
    """Each step in the driver; `apart` in a pod of its own unless the App says otherwise."""

    @task(runs_in="driver", retry_initial_interval_seconds=0.05)
    async def step(self, input: Step) -> Done:
        print(f"body of {input.number} {input.how} {self.task_context.idempotency_key}", flush=True)
        attempt = self.task_context.attempt
        if input.how == "fails":
            raise NonRetryableError("it fails for good")
        if input.how == "second" and attempt == 1:
            raise ValueError("the first time it doesn't work")
        if input.how == "exits":
            os._exit(7)
        if input.how == "killed" and attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if input.how == "hungry":
            return Done(said=str(len(bytearray(512 * 1024 * 1024))))
        if input.how == "slow":
            await asyncio.sleep(6)
        said = f"{attempt} {pathlib.Path.cwd().parent} {sys.flags.hash_randomization} {os.getppid()}"
        return Done(number=input.number, said=said)

    @task
    async def apart(self, input: Step) -> Done:
        return Done(number=input.number, said="apart")

    async def run(self, input: Steps) -> Done:
        total = 0
        for number in range(input.steps):
            total += (await self.step(Step(number=number))).number
        said = ""
        if input.fail == "abandon":
            try:
                async with asyncio.timeout(1):
                    await self.step(Step(how="slow"))
            except TimeoutError:
                said = "abandoned"
        elif input.fail == "apart":
            said = (await self.apart(Step(number=1))).said
        elif input.fail:
            try:
                said = (await self.step(Step(number=total, how=input.fail))).said
            except TaskFailedError as error:
                said = f"{error.type} after {error.attempts}"
        if input.fail == "slow":
            said += f" {(await self.step(Step(number=99))).number}"
        return Done(number=total, said=said)
