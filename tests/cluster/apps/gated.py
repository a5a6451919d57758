"""An app whose runs are gated: its handler compares what a run asks for with a mounted Secret."""

from __future__ import annotations

import asyncio

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.handler import (
    DefaultHandler,
    PreflightCheck,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
)


class Order(Input):
    door: str = ""
    seconds: float = 0


class Receipt(Output):
    text: str = ""


class Gated(App):
    preflight_gate_mode = "hard"

    @task
    async def pay(self, input: Order) -> Receipt:
        return Receipt(text="paid")

    async def run(self, input: Order) -> Receipt:
        return await self.pay(input)


class GatedHandler(DefaultHandler):
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        await asyncio.sleep(float(str(input.metadata["seconds"])))
        good = input.metadata["door"] == await self.context.get_secret("door/number")
        check = PreflightCheck(name="door", passed=good, message="" if good else f"no door {input.metadata['door']}")
        return PreflightOutput(status=PreflightStatus.READY if good else PreflightStatus.NOT_READY, checks=[check])
