"""A call that the route stops waiting for is cancelled, in every life of the route at the same place."""

from __future__ import annotations

import asyncio

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import check_durability, replay, run_app


class N(Input):
    n: int = 0


class Text(Output):
    text: str = ""


class Impatient(App):
    @task
    async def slow(self, input: N) -> Text:
        return Text(text="slow")

    @task
    async def quick(self, input: N) -> Text:
        return Text(text=f"quick {input.n}")

    async def run(self, input: N) -> Text:
        try:
            async with asyncio.timeout(1):
                return await self.slow(input)
        except TimeoutError:
            first = await self.quick(N(n=1))
        async with asyncio.TaskGroup() as group:
            left = group.create_task(self.slow(N(n=9)))
            await self.quick(N(n=2))
            left.cancel()
        return first


def test_it_completes_as_cancelled_and_counts_as_an_attempt() -> None:
    finished = run_app(Impatient, N(), durations={"slow": 60.0})
    assert finished.output.text == "quick 1"
    assert [(done.task, done.outcome) for done in finished.ledger if done.task == "slow"] == [("slow", "Cancelled")]
    assert finished.executed == ["slow", "quick", "quick"]
    assert finished.elapsed_seconds == 1


def test_it_is_replayed_so() -> None:
    replayed = replay(Impatient, run_app(Impatient, N(), durations={"slow": 60.0}).exported)
    assert replayed.outcome == "Succeeded"


def test_it_survives_crashes() -> None:
    report = check_durability(Impatient, N(), durations={"slow": 60.0}, processes=0)
    assert report.crashes > 10
