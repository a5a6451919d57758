"""An app whose runs are gated: its handler says that it is ready once a file beside the journal is there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.handler import DefaultHandler, PreflightInput, PreflightOutput, PreflightStatus


class OrderInput(Input):
    journal: str
    count: int = 3


class Said(Output):
    said: str = ""


def note(journal: str, line: str) -> None:
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")


class Orders(App):
    preflight_gate_mode: ClassVar = "hard"

    @task
    async def step(self, input: OrderInput) -> Said:
        note(input.journal, "step")
        return Said(said="done")

    async def run(self, input: OrderInput) -> Said:
        return await self.step(input)


class OrdersHandler(DefaultHandler):
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        journal = Path(str(input.metadata["journal"]))
        note(str(journal), "checked")
        ready = journal.with_name("journal.allowed").exists()
        return PreflightOutput(status=PreflightStatus.READY if ready else PreflightStatus.NOT_READY, message="closed")
