"""`run_dev_combined`: the local engine from a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import ContractValidationError, Input, Output
from application_sdk.infrastructure import clear_infrastructure
from application_sdk.main import RunNotSucceededError, run_dev_combined

SCRIPT = """
import asyncio
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.main import run_dev_combined

class Name(Input):
    name: str = "World"

class Greeting(Output):
    text: str = ""

class Script(App):
    @task
    async def greet(self, input: Name) -> Greeting:
        return Greeting(text=f"Hello, {input.name}!")

    async def run(self, input: Name) -> Greeting:
        return await self.greet(input)

if __name__ == "__main__":
    print(asyncio.run(run_dev_combined(Script, example_input={"name": "Ada"}, serve=False)))
"""


class Given(Input):
    key: str = "token"
    fail: bool = False


class Found(Output):
    value: str = ""


class Secretive(App):
    @task(retry_max_attempts=1)
    async def look(self, input: Given) -> Found:
        if input.fail:
            raise ValueError("told to")
        await self.context.save_state("last", {"key": input.key})
        kept = await self.context.load_state("last")
        return Found(value=f"{await self.context.get_secret(input.key)} {kept}")

    async def run(self, input: Given) -> Found:
        return await self.look(input)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("APPRUN_HOME", str(tmp_path / "home"))
    yield
    clear_infrastructure()


async def test_the_output_comes_back_and_tasks_find_given_credentials_and_state() -> None:
    output = await run_dev_combined(
        Secretive, example_input={"key": "token"}, credentials={"token": "s3cret"}, serve=False
    )
    assert output == {"value": "s3cret {'key': 'token'}"}


async def test_a_failed_run_is_raised_with_its_cause_and_where_to_look() -> None:
    with pytest.raises(RunNotSucceededError, match=r"(?s)is Failed.*ValueError: told to.*apprun show secretive-"):
        await run_dev_combined(Secretive, example_input={"fail": True}, serve=False)


async def test_an_input_that_does_not_fit_is_refused_before_a_run_is_begun(tmp_path: Path) -> None:
    with pytest.raises(ContractValidationError, match="key"):
        await run_dev_combined(Secretive, example_input={"key": 7})
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_a_script_runs_its_own_app_and_the_run_can_be_shown_and_resumed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "{'text': 'Hello, Ada!'}\n"
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    again = subprocess.run(
        [sys.executable, "-m", "application_sdk.cli", "resume", folder.name], capture_output=True, text=True, check=True
    )
    assert "Hello, Ada!" in again.stdout
