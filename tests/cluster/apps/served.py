"""An app that is served over HTTP: its handler logs in with a mounted Secret."""

from __future__ import annotations

from pathlib import Path

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import FileReference, Input, Output
from application_sdk.handler import (
    AuthInput,
    AuthOutput,
    AuthStatus,
    DefaultHandler,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
)


class Order(Input):
    item: str = ""
    amount: int = 1


class Receipt(Output):
    text: str = ""


class Sheet(Input):
    file: FileReference = FileReference()


class Served(App):
    @task
    async def pay(self, input: Order) -> Receipt:
        return Receipt(text=f"{input.amount} x {input.item}")

    async def run(self, input: Order) -> Receipt:
        return await self.pay(input)

    @entrypoint
    async def send_back(self, input: Order) -> Receipt:
        return Receipt(text=f"{input.item} is back")

    @task
    def header(self, input: Sheet) -> Receipt:
        return Receipt(text=Path(input.file.local_path or "/dev/null").read_text()[:40])

    @entrypoint
    async def read(self, input: Sheet) -> Receipt:
        return await self.header(input)


class ServedHandler(DefaultHandler):
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        given = self.context.get_credential("password")
        good = given == await self.context.get_secret("login/password")
        return AuthOutput(status=AuthStatus.SUCCESS if good else AuthStatus.FAILED)


class ServedSendBackHandler(ServedHandler):
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        return PreflightOutput(status=PreflightStatus.NOT_READY, message="the counter is closed")
