"""The test bed's app for pods to which a webhook adds containers: what is added is said in the input's `beside`."""

import asyncio
import os
from typing import Annotated, Any

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output

Names = Annotated[list[str], MaxItems(100)]

# What a call asks for beside what all do.
OPTIONS: dict[str, dict[str, Any]] = {
    "has no program": {"image": "localhost/apprun-pause:1"},
    "has no image": {"image": "localhost:5000/absent:1"},
}


class Step(Input):
    beside: str = ""
    how: str = ""


class Steps(Input):
    beside: str = ""
    """Of the driver's pod."""
    how: str = ""
    steps: Annotated[list[Step], MaxItems(100)] = []


class Ended(Output):
    errors: Names = []


class Beside(App):
    @task(retry_max_attempts=1)
    async def step(self, input: Step) -> Output:
        print(f"the task {input.how}", flush=True)
        if input.how == "exits 7":
            os._exit(7)
        if input.how == "works":
            await asyncio.sleep(4)
        if input.how == "works for long":
            await asyncio.sleep(120)
        return Output()

    async def run(self, input: Steps) -> Ended:
        if input.how == "exits 7":
            os._exit(7)
        calls = [self.step.options(**OPTIONS.get(step.how, {}))(step) for step in input.steps]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        return Ended(errors=[getattr(end, "type", "") for end in ended])
