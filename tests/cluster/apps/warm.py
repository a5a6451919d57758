"""Calls in warm pods: what they share and what they don't, how they end, and a witness for each that ran to its end."""

import asyncio
import json
import os
import socket
import ssl
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Annotated

from application_sdk.app import App, ReusePolicy, task
from application_sdk.contracts import Input, MaxItems, Output
from application_sdk.errors import TaskFailedError

IDENTITY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALLS = 0
"""How many calls this process has executed."""


class Step(Input):
    """One call."""

    number: int = 0
    seconds: float = 0
    how: str = ""


class Done(Output):
    """Where a call was executed."""

    number: int = 0
    attempt: int = 0
    pod: str = ""
    process: int = 0
    calls: int = 0
    """Calls of the process until then, this one included."""
    folder: str = ""


class Steps(Input):
    """What a route does."""

    sequence: int = 0
    parallel: int = 0
    seconds: float = 0
    how: str = ""


class Report(Output):
    """All that its calls have said."""

    calls: Annotated[list[Done], MaxItems(10_000)] = []
    error: str = ""


def witness(key: str, attempt: int) -> None:
    """Leave a ConfigMap behind, which is counted outside of the ledger."""
    namespace = (IDENTITY / "namespace").read_text()
    host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    labels = {"probe.apprun.dev/key": key.rsplit("/", 1)[-1], "probe.apprun.dev/attempt": str(attempt)}
    request = urllib.request.Request(
        f"{host}/api/v1/namespaces/{namespace}/configmaps",
        data=json.dumps({"metadata": {"generateName": "witness-", "labels": labels}}).encode(),
        headers={"Authorization": f"Bearer {(IDENTITY / 'token').read_text()}", "Content-Type": "application/json"},
        method="POST",
    )
    context = ssl.create_default_context(cafile=str(IDENTITY / "ca.crt"))
    urllib.request.urlopen(request, context=context, timeout=10).close()


def end_this_process() -> None:
    os._exit(7)


def block() -> None:
    time.sleep(600)


class Warm(App):
    """A sequence, a fan-out, and calls that fail in every way."""

    async def body(self, input: Step) -> Done:
        global CALLS
        CALLS += 1
        attempt = self.task_context.attempt
        if input.how == "raises" or (input.how == "flaky" and attempt < 2):
            raise ValueError(f"not in attempt {attempt}")
        if input.how == "exits" and attempt == 1:
            end_this_process()
        if input.how == "hungry":
            memory = bytearray()
            while True:
                memory.extend(bytes(32 * 1024 * 1024))
        if input.how == "blocks" and attempt == 1:
            block()
        await asyncio.sleep(input.seconds)
        if input.how == "witness":
            await asyncio.to_thread(witness, self.task_context.idempotency_key, attempt)
        pod = socket.gethostname()
        return Done(
            number=input.number,
            attempt=attempt,
            pod=pod,
            process=os.getpid(),
            calls=CALLS,
            folder=tempfile.gettempdir(),
        )

    @task(retry_initial_interval_seconds=0.1, reuse=ReusePolicy(replicas=4, scaledown_ttl=6, idle_ttl=6))
    async def step(self, input: Step) -> Done:
        return await self.body(input)

    @task(
        retry_max_attempts=2,
        retry_initial_interval_seconds=0.1,
        heartbeat_timeout_seconds=4,
        auto_heartbeat_seconds=1,
        reuse=ReusePolicy(replicas=1, scaledown_ttl=6, idle_ttl=6, mode="actor"),
    )
    async def act(self, input: Step) -> Done:
        return await self.body(input)

    @task(reuse=ReusePolicy(replicas=1, max_calls=5, scaledown_ttl=6, idle_ttl=6))
    async def leaks(self, input: Step) -> Done:
        return await self.body(input)

    @task(secrets=[], reuse=ReusePolicy(replicas=1, scaledown_ttl=6, idle_ttl=6))
    async def unarmed(self, input: Step) -> Done:
        return await self.body(input)

    async def run(self, input: Steps) -> Report:
        calls = [
            await self.step(Step(number=number, seconds=input.seconds, how=input.how))
            for number in range(input.sequence)
        ]
        wide = [
            self.step(Step(number=input.sequence + number, seconds=input.seconds, how=input.how))
            for number in range(input.parallel)
        ]
        return Report(calls=[*calls, *await asyncio.gather(*wide)])


class Failing(Warm):
    async def run(self, input: Steps) -> Report:
        before = await self.step(Step(number=0))
        try:
            call = await self.step(Step(number=1, how=input.how))
        except TaskFailedError as error:
            return Report(calls=[before], error=f"{error.type} after {error.attempts}")
        return Report(calls=[before, call, await self.step(Step(number=2))])


class Acting(Warm):
    async def run(self, input: Steps) -> Report:
        calls = [await self.act(Step(number=number)) for number in range(input.sequence)]
        if input.how:
            calls.append(await self.act(Step(number=input.sequence, how=input.how)))
        return Report(calls=calls)


class Leaking(Warm):
    async def run(self, input: Steps) -> Report:
        return Report(calls=[await self.leaks(Step(number=number)) for number in range(input.sequence)])


class Apart(Warm):
    async def run(self, input: Steps) -> Report:
        calls = (self.step(Step(number=0, seconds=input.seconds)), self.unarmed(Step(number=1, seconds=input.seconds)))
        return Report(calls=list(await asyncio.gather(*calls)))
