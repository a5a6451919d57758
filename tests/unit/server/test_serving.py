"""A server that listens: `run_dev_combined` with a port, from a script as users write it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

SCRIPT = """
import asyncio
import pytest
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.handler import AuthInput, AuthOutput, AuthStatus, DefaultHandler
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

class ScriptHandler(DefaultHandler):
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        good = await self.context.get_secret("token") == self.context.get_credential("token")
        return AuthOutput(status=AuthStatus.SUCCESS if good else AuthStatus.FAILED)

if __name__ == "__main__":
    print(asyncio.run(run_dev_combined(
        Script, example_input={"name": "Ada"}, credentials={"token": "t0ken"}, handler_port=0)))
"""


def post(url: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)  # type: ignore[no-any-return]
    except urllib.error.HTTPError as refusal:
        with refusal:
            return json.load(refusal)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_script_runs_its_example_and_serves_its_handler_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "APPRUN_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        said = next(line for line in lines if "is served at" in line)
        url = re.findall(r"http://\S+", said)[0]
        answer = post(f"{url}/workflows/v1/auth", {"credentials": [{"key": "token", "value": "t0ken"}]})
        assert answer["success"] is True
        run = post(f"{url}/workflows/v1/start", {"name": "Eve"})["data"]["workflow_id"]  # type: ignore[index]
        with urllib.request.urlopen(f"{url}/workflows/v1/result/{run}?wait=true", timeout=60) as done:
            assert json.load(done)["data"]["result"] == {"text": "Hello, Eve!"}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "Hello, Ada!" in out, err


@pytest.mark.slow
def test_the_command_line_serves_an_app_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "-m", "application_sdk.cli", "run", "script.py:Script", "--handler", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "APPRUN_HOME": str(tmp_path / "home"), "TOKEN": "t0ken"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = next(line for line in iter(process.stderr.readline, "") if "is served at" in line)
        url = re.findall(r"http://\S+", said)[0]
        answer = post(f"{url}/workflows/v1/auth", {"credentials": []})
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert (answer["success"], process.returncode) == (False, 0)


@pytest.mark.slow
def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "application_sdk.cli", "run", "script.py:Script", "--handler", "--port", str(port)],
            cwd=tmp_path,
            env={**os.environ, "APPRUN_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"port {port} can't be listened on" in done.stderr
