"""An app with a handler that misbehaves on request."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from typing_extensions import override

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, MaxItems, Output
from application_sdk.handler import (
    AuthInput,
    AuthOutput,
    AuthStatus,
    Handler,
    HandlerError,
    MetadataInput,
    MetadataOutput,
    PreflightCheck,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
    SqlMetadataObject,
    SqlMetadataOutput,
)


class Basket(Input):
    items: Annotated[list[str], MaxItems(5)] = []
    wait: float = 0


class Receipt(Output):
    lines: int = 0


class Shop(App):
    """Sells things."""

    @task(retry_max_attempts=1)
    async def pay(self, input: Basket) -> Receipt:
        if "bomb" in input.items:
            raise ValueError("no bombs")
        await asyncio.sleep(input.wait)
        return Receipt(lines=len(input.items))

    async def run(self, input: Basket) -> Receipt:
        return await self.pay(input)

    @entrypoint
    async def take_back(self, input: Basket) -> Receipt:
        return await self.pay(input)


class ShopHandler(Handler):
    @override
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        password = self.context.get_credential("password")
        if self.context.has_credential("block"):
            time.sleep(1)  # noqa: ASYNC251 - blocking is what is tested
        if self.context.has_credential("slow"):
            await asyncio.sleep(60)
        if self.context.has_credential("refuse"):
            place = self.context.get_credential("url") or self.context.get_credential("host")
            raise HandlerError(f"{place} refuses {password}", http_status=409)
        if self.context.has_credential("crash"):
            raise RuntimeError(f"can't log in with {password}")
        good = password == "open sesame"
        who = self.context.get_credential("user") or ""
        await asyncio.sleep(0.01)
        return AuthOutput(status=AuthStatus.SUCCESS if good else AuthStatus.FAILED, identities=[who])

    @override
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        good = input.connection_config.get("host") == "db"
        check = PreflightCheck(name="host", passed=good, message="" if good else "no such host")
        return PreflightOutput(
            status=PreflightStatus.READY if good else PreflightStatus.NOT_READY, checks=[check]
        )  # fmt: skip

    @override
    async def fetch_metadata(self, input: MetadataInput) -> MetadataOutput:
        return SqlMetadataOutput(objects=[SqlMetadataObject(TABLE_CATALOG="db", TABLE_SCHEMA="public")])


class ShopTakeBackHandler(ShopHandler):
    """Of the entry point `take-back`."""

    @override
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        if "crash" in input.connection_config:
            raise RuntimeError("no counter")
        message = f"{input.entrypoint}: bring {self.context.get_credential('document')}"
        return PreflightOutput(status=PreflightStatus.PARTIAL, message=message)
