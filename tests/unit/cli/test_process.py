"""`apprun` as a process: signals, pipes, a terminal, its start."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.conftest import ORDERS

APPRUN = [sys.executable, "-m", "application_sdk.cli"]


def _arguments(home: Path, entrypoint: str) -> list[str]:
    given = json.dumps({"journal": str(home / "journal")})
    return [*APPRUN, "run", str(ORDERS), "-e", entrypoint, "--name", "o1", "-i", given]


@pytest.mark.slow
def test_ctrl_c_stops_in_order_and_says_how_to_go_on(home: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        _arguments(home, "waiting"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    seen = ""
    while "wait: started" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert "apprun resume o1" in rest
    assert "Traceback" not in rest
    cancelled = subprocess.run([*APPRUN, "cancel", "o1"], capture_output=True, text=True, env=environment, check=False)
    assert cancelled.returncode == 0
    lines = (home / "journal").read_text().splitlines()
    assert (lines.count("first"), "cleaned up" in lines) == (1, True)


@pytest.mark.slow
def test_a_run_is_cancelled_from_another_terminal(home: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        _arguments(home, "waiting"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    while "wait: started" not in process.stderr.readline():
        pass
    told = subprocess.run([*APPRUN, "cancel", "o1"], capture_output=True, text=True, env=environment, check=True)
    assert f"process {process.pid} executes it" in told.stderr
    _, rest = process.communicate()
    assert (process.returncode, "o1 was cancelled" in rest) == (8, True)


@pytest.mark.slow
def test_on_a_terminal_a_table_keeps_itself_current(home: Path, environment: dict[str, str]) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        _arguments(home, "run"), stderr=slave, stdout=subprocess.PIPE, text=True, env={**environment, "TERM": "xterm"}
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:
        pass  # How a pseudo-terminal says that the other end is closed.
    os.close(master)
    output, _ = process.communicate()
    assert json.loads(output) == {"said": "FIRST BRANCH 0 BRANCH 1 BRANCH 2 LAST"}
    assert "✓" in shown.decode()
    assert "5/5" in shown.decode()


@pytest.mark.slow
def test_sets_are_walked_in_the_same_order_in_every_process(home: Path, environment: dict[str, str]) -> None:
    app = home / "sets.py"
    app.write_text(
        "from application_sdk.app import App\n"
        "from application_sdk.contracts import Input, Output\n"
        "class Order(Output):\n    names: str = ''\n"
        "class Sets(App):\n"
        "    async def run(self, input: Input) -> Order:\n"
        "        return Order(names=''.join({'a', 'b', 'c', 'd', 'e', 'f'}))\n"
    )
    environment.pop("PYTHONHASHSEED", None)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", "from application_sdk.cli import main; main()", "run", "sets.py", "--in-process"],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        ).stdout
        for _ in range(3)
    }
    assert len(outputs) == 1
