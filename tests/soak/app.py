"""The soak's app: a chain, a fan-out and a chain again. Each body tells a counter outside of the cluster of itself.

Tasks have one attempt only for what their own code does: were a fault of the cluster charged to it, the run would fail.
"""

import asyncio
import json
import time
import urllib.request
import uuid
from typing import Annotated

from application_sdk.app import App, ReusePolicy, task
from application_sdk.contracts import Input, MaxItems, Output


class Step(Input):
    number: int
    seconds: float
    counter: str


class Done(Output):
    number: int


class Plan(Input):
    chain: int = 8
    width: int = 24
    seconds: float = 1
    counter: str
    warm: bool = False
    """Calls are executed in warm pods, which stay between them."""


class Numbers(Output):
    numbers: Annotated[list[int], MaxItems(1000)] = []


def record(counter: str, **facts: object) -> None:
    """Until it is heard: on a node that is cut off, that takes as long as the cut."""
    body = json.dumps(facts).encode()
    for _ in range(200):
        try:
            urllib.request.urlopen(counter, data=body, timeout=5).close()
        except OSError:
            time.sleep(1)
        else:
            return
    raise RuntimeError(f"the counter {counter} hears nothing")


class Soaked(App):
    @task(timeout_seconds=900, retry_max_attempts=1)
    async def step(self, input: Step) -> Done:
        return await self.execute(input)

    @task(timeout_seconds=900, retry_max_attempts=1, reuse=ReusePolicy(replicas=8, scaledown_ttl=15, idle_ttl=15))
    async def warm_step(self, input: Step) -> Done:
        return await self.execute(input)

    async def execute(self, input: Step) -> Done:
        mine = {"id": uuid.uuid4().hex, "call": self.task_context.idempotency_key, "attempt": self.task_context.attempt}
        await asyncio.to_thread(record, input.counter, **mine, begun=time.time())
        await asyncio.sleep(input.seconds)
        await asyncio.to_thread(record, input.counter, **mine, done=time.time())
        return Done(number=input.number)

    async def run(self, input: Plan) -> Numbers:
        def call(number: int) -> Step:
            return Step(number=number, seconds=input.seconds, counter=input.counter)

        step = self.warm_step if input.warm else self.step
        numbers = [(await step(call(n))).number for n in range(input.chain)]
        wide = range(input.chain, input.chain + input.width)
        numbers += [done.number for done in await asyncio.gather(*(step(call(n)) for n in wide))]
        for n in range(wide.stop, wide.stop + input.chain):
            numbers.append((await step(call(n))).number)
        return Numbers(numbers=numbers)
