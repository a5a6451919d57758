"""Driver tasks in the test kit: what fails on a cluster fails here, too."""

from __future__ import annotations

from application_sdk.app import App, TaskFailedError, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import run_app


class Given(Input):
    how: str = ""


class Said(Output):
    text: str = ""


class Quick(App):
    @task(runs_in="driver")
    async def step(self, input: Given) -> Said:
        if input.how == "state":
            await self.context.save_state("count", {"n": 1})
        if input.how == "files":
            await self.context.storage.list("a")
        if input.how == "fails" and self.task_context.attempt < 3:
            raise ValueError("not yet")
        return Said(text=f"attempt {self.task_context.attempt}")

    async def run(self, input: Given) -> Said:
        try:
            return await self.step(input)
        except TaskFailedError as error:
            return Said(text=f"{error.type} after {error.attempts}: {error.message}")


def said(how: str) -> str:
    return run_app(Quick, Given(how=how)).output.text


def test_attempts_are_repeated() -> None:
    assert said("fails") == "attempt 3"


def test_state_is_refused() -> None:
    assert "after 1: save_state('count'): a driver task keeps no state" in said("state")


def test_file_store_is_refused() -> None:
    assert "after 1: a driver task has no file store" in said("files")
