"""The first example, as anyone copies it: in the test kit and on a laptop. In pods: tests/cluster/test_runs.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.example import example

from application_sdk.testing import check_durability, run_app

APP = Path(__file__).parents[3] / "examples" / "hello" / "app.py"


def test_it_runs_in_the_test_kit_and_is_durable() -> None:
    with example("hello", "app") as modules:
        app = modules["app"]
        finished = run_app(app.HelloWorldApp, app.FetchInput(name="Ada"))
        assert finished.output == app.FetchOutput(message="Hello, Ada!")
        assert finished.executed == ["create_greeting"]
        check_durability(app.HelloWorldApp, app.FetchInput(), processes=0)


@pytest.mark.slow
def test_it_runs_on_a_laptop(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "application_sdk.cli", "run", f"{APP}:HelloWorldApp", "--input", '{"name": "Ada"}'],
        env={**os.environ, "APPRUN_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"message": "Hello, Ada!"}
