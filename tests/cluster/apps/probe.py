"""The test bed's app: a chain, a fan-out and a last task. Each body leaves a ConfigMap behind as a witness."""

import asyncio
import json
import os
import ssl
import urllib.request
from pathlib import Path
from typing import Annotated

from application_sdk.app import App, NonRetryableError, task
from application_sdk.contracts import Input, MaxItems, Output

IDENTITY = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class StepInput(Input):
    name: str = ""
    seconds: float = 0
    fail_attempts: int = 0
    permanent: bool = False
    stubborn: bool = False


class StepOutput(Output):
    name: str = ""
    attempt: int = 0


class ProbeInput(Input):
    before: int = 1
    width: int = 4
    after: int = 1
    seconds: float = 0


class ProbeOutput(Output):
    names: Annotated[list[str], MaxItems(1000)] = []


class CatchOutput(Output):
    caught: str = ""
    attempts: int = 0


def witness(key: str, attempt: int) -> None:
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


class Probe(App):
    @task(timeout_seconds=120, retry_max_attempts=3, retry_max_interval_seconds=1)
    async def step(self, input: StepInput) -> StepOutput:
        attempt = self.task_context.attempt
        if input.permanent:
            raise NonRetryableError(f"{input.name} can never work")
        if attempt <= input.fail_attempts:
            raise RuntimeError(f"{input.name} fails in attempt {attempt}")
        if input.stubborn:
            self.task_context.progress(message="at work")
        try:
            await asyncio.sleep(input.seconds)
        except asyncio.CancelledError:
            if not input.stubborn:
                raise
        await asyncio.to_thread(witness, self.task_context.idempotency_key, attempt)
        return StepOutput(name=input.name, attempt=attempt)

    async def run(self, input: ProbeInput) -> ProbeOutput:
        names = []
        for i in range(input.before):
            names.append((await self.step(StepInput(name=f"before-{i}"))).name)
        wide = [self.step(StepInput(name=f"wide-{i}", seconds=input.seconds)) for i in range(input.width)]
        names += [output.name for output in await asyncio.gather(*wide)]
        for i in range(input.after):
            names.append((await self.step(StepInput(name=f"after-{i}"))).name)
        return ProbeOutput(names=names)


class Catching(Probe):
    async def run(self, input: StepInput) -> CatchOutput:
        try:
            await self.step(input)
        except Exception as error:
            return CatchOutput(caught=str(error), attempts=getattr(error, "attempts", 0))
        return CatchOutput()


class TidyInput(Input):
    work: float = 300
    undo: float = 0
    stubborn: bool = False


class Tidy(Probe):
    """Works, and when it is cancelled undoes it; then has a last word in any case."""

    async def run(self, input: TidyInput) -> ProbeOutput:
        try:
            await self.step(StepInput(name="work", seconds=input.work, stubborn=input.stubborn))
        except asyncio.CancelledError:
            await self.step(StepInput(name="undo", seconds=input.undo))
            raise
        return ProbeOutput(names=["work"])

    async def on_complete(self) -> None:
        await self.step(StepInput(name="last"))


class Chain(Probe):
    """Goes on as a new run until `width` is 0, each with one task."""

    async def run(self, input: ProbeInput) -> ProbeOutput:
        await self.step(StepInput(name=f"link-{input.width}"))
        if input.width:
            self.continue_with(ProbeInput(width=input.width - 1))
        return ProbeOutput(names=[self.context.correlation_id])
