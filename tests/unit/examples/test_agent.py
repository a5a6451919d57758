"""The agent: what it says, and that no turn of the model is asked for twice, whatever dies in mid-conversation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.example import EXAMPLES, example

from application_sdk.testing import check_durability, run_app

APP = EXAMPLES / "agent" / "app.py"
REQUEST = "Order 1007 never arrived. I want my money back."
SECONDS = 60.0


def calls(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_it_looks_up_the_order_and_pays_it_back() -> None:
    with example("agent", "app", "model") as modules:
        app = modules["app"]
        finished = run_app(app.SupportAgent, app.Request(request=REQUEST))
        assert finished.output.text == "Order 1007 is refunded. It will take two days."
        assert finished.executed == ["think", "look_up_order", "think", "refund", "think"]


def test_a_crash_at_any_step_asks_the_model_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_CALLS", str(tmp_path / "calls"))
    with example("agent", "app", "model") as modules:
        app = modules["app"]
        report = check_durability(app.SupportAgent, app.Request(request=REQUEST), orders=1, processes=0)
        assert report.crashes >= 5
        assert calls(tmp_path / "calls") == 3


@pytest.mark.slow
def test_a_kill_in_mid_conversation_repeats_no_model_call(tmp_path: Path) -> None:
    counted, tools = tmp_path / "calls", {"TOOL_SECONDS": "3"}
    environ = {**os.environ, "APPRUN_HOME": str(tmp_path / "home"), "MODEL_CALLS": str(counted)}
    program = [sys.executable, "-m", "application_sdk.cli"]
    given = json.dumps({"request": REQUEST})
    run = subprocess.Popen(
        [*program, "run", f"{APP}:SupportAgent", "--name", "agent", "--input", given],
        env={**environ, **tools}, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # The second turn has been recorded when its tool runs: the tool takes 3 s from then on.
    deadline = time.monotonic() + SECONDS
    while calls(counted) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert calls(counted) == 2
    resumed = subprocess.run(
        [*program, "resume", "agent"], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["text"].startswith("Order 1007 is refunded.")
    assert calls(counted) == 3
