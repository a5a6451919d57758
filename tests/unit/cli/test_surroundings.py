"""Terminals and folders that `apprun` may be started in: none of them makes a fault of apprun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

print("imported: ö")

class Order(Input):
    bad: bool = False

class Said(Output):
    text: str = ""

class Shop(App):
    @task
    async def greet(self, input: Order) -> Said:
        print("grüße")
        if input.bad:
            raise ValueError("grüße")
        return Said(text="grüße →")

    async def run(self, input: Order) -> Said:
        return await self.greet(input)
"""


def apprun(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "application_sdk.cli", *arguments],
        env={**os.environ, "APPRUN_HOME": str(folder / "home"), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("format", ["text", "json", "yaml"])
@pytest.mark.parametrize(("bad", "code"), [(False, 0), (True, 1)])
def test_a_terminal_that_has_no_umlauts_gets_escapes(folder: Path, format: str, bad: bool, code: int) -> None:
    given = json.dumps({"bad": bad})
    result = apprun(folder, "run", "shop.py", "-i", given, "-o", format, PYTHONIOENCODING="ascii")
    assert result.returncode == code, result.stderr
    assert "fault of apprun" not in result.stderr
    assert result.stdout.isascii()
    if format == "json":
        run = json.loads(result.stdout)
        assert run["output"] == {"text": "grüße →"} if code == 0 else "grüße" in run["error"]["message"]


@pytest.mark.slow
def test_what_a_module_prints_is_not_in_the_result(folder: Path) -> None:
    result = apprun(folder, "run", "shop.py", "-o", "json")
    assert json.loads(result.stdout)["phase"] == "Succeeded"
    assert "imported: ö" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_working_directory_that_was_removed_is_named(folder: Path, verb: str) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m application_sdk.cli {verb} shop.py"
    environment = {**os.environ, "APPRUN_HOME": str(folder / "home")}
    result = subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "the working directory was removed" in result.stderr
    assert "fault of apprun" not in result.stderr
