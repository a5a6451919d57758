"""An app for the tests of what a laptop keeps: its tasks get secrets and tell them in every way that there is."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from urllib.parse import quote

from application_sdk.app import App, NonRetryableError, TaskFailedError, task
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.credentials import BasicCredential, basic_ref


class OrderInput(Input):
    journal: str
    count: int = 0


class Told(Output):
    text: str = ""


class Kept(HeartbeatDetails):
    text: str = ""


class Orders(App):
    async def password(self) -> str:
        login = await self.context.resolve_credential(basic_ref("db"), BasicCredential)
        print("printed", login, login.password, login.to_auth_header(), quote(login.password, safe=""))
        print("to stderr", login.password, file=sys.stderr)
        logging.getLogger("leaking").warning("logged %s", {"password": login.password})
        self.logger.error("logged by the app %s", login.password)
        self.task_context.progress(message=f"with {login.password}")
        return login.password

    @task
    async def uses(self, input: OrderInput) -> Told:
        return Told(text=f"{len(await self.password())} {len(await self.context.get_secret('token'))}")

    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def raises(self, input: OrderInput) -> Told:
        password = await self.password()
        try:
            raise KeyError(password)
        except KeyError as error:
            raise ConnectionError(f"401 for https://api?token={await self.context.get_secret('token')}") from error

    @task(retry_max_attempts=1)
    async def returns(self, input: OrderInput) -> Told:
        return Told(text=f"postgres://etl:{await self.password()}@db")

    @task(retry_max_attempts=1)
    async def beats(self, input: OrderInput) -> Told:
        self.task_context.heartbeat(Kept(text=await self.password()))
        return Told()

    @task(retry_max_attempts=1)
    async def saves(self, input: OrderInput) -> Told:
        await self.context.save_state("login", {"password": await self.password()})
        return Told()

    @task(retry_max_attempts=1)
    async def is_killed(self, input: OrderInput) -> Told:
        await self.password()
        if input.count:
            os.kill(os.getpid(), signal.SIGKILL)
        raise NonRetryableError("nothing to kill but the run")

    async def run(self, input: OrderInput) -> Told:
        failing = [self.raises, self.returns, self.beats, self.saves, self.is_killed]
        ends = await asyncio.gather(*(one(input) for one in failing), return_exceptions=True)
        told = await self.uses(input)
        raise NonRetryableError(
            f"{told.text}: " + "; ".join(str(end) for end in ends if isinstance(end, TaskFailedError))
        )
