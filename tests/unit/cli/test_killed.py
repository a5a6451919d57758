"""`kill -9` of real processes of a real `apprun run`, one after the other, and `apprun resume`."""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_process import APPRUN

STEPS = 4
APP = """
import os
import time
from pathlib import Path

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output


class Step(Input):
    number: int = 0


class Sum(Output):
    sum: int = 0


class Chain(App):
    @task(retry_max_interval_seconds=0.01)
    def step(self, input: Step) -> Sum:
        # In one write, so that it is read whole.
        with Path("journal").open("a") as journal:
            journal.write(f"{input.number} {os.getpid()} {os.getppid()}\\n")
        if self.task_context.attempt == 1:
            time.sleep(600)  # Until it is killed.
        return Sum(sum=input.number)

    async def run(self, input: Step) -> Sum:
        total = 0
        for number in range(input.number):
            total += (await self.step(Step(number=number))).sum
        return Sum(sum=total)
"""


class Terminal:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._environment = environment
        self._journal = folder / "journal"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*APPRUN, *arguments], stdout=quiet, stderr=quiet, env=self._environment, text=True)

    def text(self, *arguments: str) -> str:
        done = subprocess.run([*APPRUN, *arguments], capture_output=True, text=True, env=self._environment, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.text(*arguments, "-o", "json"))

    def executions(self) -> list[tuple[int, int, int]]:
        """Of steps, in order: number of the step, process of the attempt, process that it was forked from."""
        if not self._journal.exists():
            return []
        lines = [line.split() for line in self._journal.read_text().splitlines()]
        return [(int(number), int(pid), int(parent)) for number, pid, parent in lines]

    def executing(self, count: int) -> tuple[int, int]:
        """Waits for the execution with this number; the process of the attempt, and the one it was forked from."""
        deadline = time.monotonic() + 60
        while len(self.executions()) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        _, pid, parent = self.executions()[count - 1]
        return pid, parent


@pytest.fixture
def terminal(home: Path, environment: dict[str, str]) -> Terminal:
    (home / "app.py").write_text(APP)
    return Terminal(home, environment)


def attempts(run: Any) -> Sequence[tuple[str | None, str | None]]:
    return [(attempt["reason"], attempt["budget"]) for call in run["calls"] for attempt in call["attempts"]]


@pytest.mark.slow
def test_a_run_killed_in_each_step_repeats_no_commit(terminal: Terminal) -> None:
    process = terminal.start("run", "app.py", "--name", "chain", "-i", json.dumps({"number": STEPS}))
    for step in range(STEPS):
        # Each life but the first begins with the second attempt of the step in which the one before it was killed.
        pid, _ = terminal.executing(2 * step + 1)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        shown = terminal.json("show", "chain")
        assert (shown["phase"], len(shown["calls"])) == ("Interrupted", step + 1)
        assert not _alive(pid)
        process = terminal.start("resume", "chain")
    assert process.wait() == 0
    shown = terminal.json("show", "chain")
    assert shown["output"] == {"sum": 6}
    assert collections.Counter(number for number, _, _ in terminal.executions()) == dict.fromkeys(range(STEPS), 2)
    assert attempts(shown) == [("ExecutorLost", "Disruption"), ("Completed", "None")] * STEPS


@pytest.mark.slow
def test_a_killed_attempt_is_tried_again_on_the_tasks_account(terminal: Terminal) -> None:
    process = terminal.start("run", "app.py", "--name", "chain", "-i", '{"number": 1}')
    pid, _ = terminal.executing(1)
    os.kill(pid, signal.SIGKILL)
    assert process.wait() == 0
    assert attempts(terminal.json("show", "chain")) == [("ProcessDied", "App"), ("Completed", "None")]


@pytest.mark.slow
def test_attempts_lost_with_their_fork_server_cost_no_budget(terminal: Terminal) -> None:
    process = terminal.start("run", "app.py", "--name", "chain", "-i", '{"number": 1}')
    pid, forker = terminal.executing(1)
    os.kill(forker, signal.SIGKILL)
    assert process.wait() == 0
    assert not _alive(pid)
    assert attempts(terminal.json("show", "chain")) == [("ExecutorLost", "Disruption"), ("Completed", "None")]
    assert "(charged to this machine)" in terminal.text("show", "chain")


@pytest.mark.slow
def test_killed_all_at_once_a_run_goes_on(terminal: Terminal) -> None:
    process = terminal.start("run", "app.py", "--name", "chain", "-i", '{"number": 2}')
    os.kill(terminal.executing(1)[0], signal.SIGKILL)
    pid, forker = terminal.executing(3)
    for victim in (pid, forker, process.pid):
        os.kill(victim, signal.SIGKILL)
    process.wait()
    assert terminal.json("resume", "chain")["output"] == {"sum": 1}
    assert [number for number, _, _ in terminal.executions()] == [0, 0, 1, 1]


@pytest.mark.slow
def test_a_second_process_that_resumes_a_run_is_refused(terminal: Terminal, environment: dict[str, str]) -> None:
    process = terminal.start("run", "app.py", "--name", "chain", "-i", '{"number": 2}')
    terminal.executing(1)
    process.kill()
    process.wait()
    first = terminal.start("resume", "chain")
    terminal.executing(3)
    second = subprocess.run([*APPRUN, "resume", "chain"], capture_output=True, text=True, env=environment, check=False)
    first.kill()
    first.wait()
    assert second.returncode == 5
    assert f"run 'chain' is being executed by process {first.pid}" in second.stderr
    assert "Watch it with `apprun show chain`, stop it with `apprun cancel chain`" in " ".join(second.stderr.split())
    assert terminal.json("resume", "chain")["output"] == {"sum": 1}
    assert [number for number, _, _ in terminal.executions()] == [0, 0, 1, 1]


def _alive(pid: int) -> bool:
    """Whether a process still works. Orphans of this container may stay zombies."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.01)
    return True
