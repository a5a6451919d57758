"""Tasks that use secrets, and some that try to tell them."""

import asyncio
import logging
import sys

from application_sdk.app import App, task
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.credentials import BasicCredential, basic_ref


class Ask(Input):
    how: str = "use"


class Told(Output):
    text: str = ""


class Kept(HeartbeatDetails):
    text: str = ""


class Vault(App):
    @task(retry_max_attempts=1)
    async def use(self, input: Ask) -> Told:
        login = await self.context.resolve_credential(basic_ref("db"))
        token = await self.context.get_secret("payments/token")
        assert isinstance(login, BasicCredential)
        await asyncio.sleep(3)  # until somebody reads along
        print("printed", login, login.password, token, login.to_auth_header())
        print("printed to stderr", token, file=sys.stderr)
        logging.getLogger("vault").warning("logged %s %s", token, {"password": login.password})
        self.logger.info("logged by the app's logger %s", token)
        self.task_context.progress(message=f"working with {token}")
        return Told(text=f"{login.username} {len(login.password)} {len(token)}")

    @task(retry_max_attempts=1)
    async def leak(self, input: Ask) -> Told:
        return Told(text="Bearer " + await self.context.get_secret("payments/token"))

    @task(retry_max_attempts=1)
    async def crash(self, input: Ask) -> Told:
        token = await self.context.get_secret("payments/token")
        await asyncio.sleep(3)
        try:
            raise KeyError(token)
        except KeyError as error:
            raise ConnectionError(f"401 for https://api?token={token}") from error

    @task(retry_max_attempts=1)
    async def beat(self, input: Ask) -> Told:
        self.task_context.heartbeat(Kept(text=await self.context.get_secret("payments/token")))
        return Told()

    @task(secrets=["payments"])
    async def narrow(self, input: Ask) -> Told:
        return Told(text=f"{await self.context.get_secret_optional('db')}")

    @task(secrets=["elsewhere"])
    async def undeclared(self, input: Ask) -> Told:
        return Told()

    @task(timeout_seconds=150, retry_max_attempts=1)
    async def await_rotation(self, input: Ask) -> Told:
        first = await self.context.get_secret("payments/token")
        self.task_context.progress(message="has the first token")
        while await self.context.get_secret("payments/token") == first:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return Told(text="rotated")

    async def run(self, input: Ask) -> Told:
        return await getattr(self, input.how)(input)
