"""The executor with a process for each attempt, where its processes or those who use it don't keep to the plan."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.kube import eventually

from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.local.fork_server import MODULE
from application_sdk.engines.processes.executor import ProcessExecutor
from application_sdk.engines.processes.executor_protocol import AttemptBegun, AttemptEnded, AttemptSpec
from application_sdk.engines.processes.source import AppSource
from application_sdk.wire.fields import Policy, RetryFields

APP = """
{first}
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class Nothing(Input):
    pass

class Made(Output):
    n: int = 7

class Shop(App):
    @task(timeout_seconds=60)
    async def work(self, input: Nothing) -> Made:
        return Made()

    async def run(self, input: Nothing) -> Made:
        return await self.work(input)
"""
HANGING = "import time; time.sleep(600)"
POLICY = Policy(retry=RetryFields(maxAttempts=1, initialIntervalSeconds=1, maxIntervalSeconds=1, backoffCoefficient=1))
Open = Callable[[str], ProcessExecutor]


@pytest.fixture
def open_executor(tmp_path: Path) -> Iterator[Open]:
    opened: list[ProcessExecutor] = []

    def executor(first: str) -> ProcessExecutor:
        (tmp_path / "shop.py").write_text(APP.replace("{first}", first))
        opened.append(ProcessExecutor(AppSource("shop:Shop", str(tmp_path)), MODULE, ahead=True))
        return opened[-1]

    yield executor
    for each in opened:
        each.close()


def spec(folder: Path, key: str = "k1") -> AttemptSpec:
    info = AttemptInfo(
        run_id="daily", correlation_id="c", task="work", attempt=1, idempotency_key=key, policy=POLICY,
        max_output_bytes=1000, namespace="ns", run_uid="uid",
    )  # fmt: skip
    return AttemptSpec(key, {}, info, log=folder / "log", state=folder / "state.db")


def test_attempt_without_a_process_ends_when_killed(open_executor: Open, tmp_path: Path) -> None:
    executor = open_executor(HANGING)
    executor.start(spec(tmp_path))
    executor.kill("k1")
    assert executor.wait(20) == [AttemptEnded("k1")]


def test_process_lost_before_its_work_is_a_disruption(open_executor: Open, tmp_path: Path) -> None:
    executor = open_executor("")

    def forked_ahead() -> int | None:
        executor.wait(0.05)
        return executor._spare.pid or None if executor._spare is not None else None

    spare = eventually("a process that waits for work", forked_ahead, 30)
    os.kill(spare, signal.SIGKILL)
    eventually("its end", lambda: not Path(f"/proc/{spare}").exists() or None, 30)
    executor.start(spec(tmp_path))
    events = [*executor.wait(20), *executor.wait(20)]
    assert AttemptBegun("k1") in events
    (ended,) = [event for event in events if isinstance(event, AttemptEnded)]
    assert (ended.disrupted, ended.error and ended.error["type"]) == (True, "ExecutorLost")


def test_wake_after_close_writes_nowhere(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP.replace("{first}", ""))
    with closing(ProcessExecutor(AppSource("shop:Shop", str(tmp_path)), MODULE)) as executor:
        pass
    # Whoever opens files now gets the numbers that `close` has given back.
    pipes = [os.pipe() for _ in range(8)]
    try:
        executor.wake()
        for reader, _ in pipes:
            os.set_blocking(reader, False)
            with pytest.raises(BlockingIOError):
                os.read(reader, 1)
    finally:
        for pipe in pipes:
            for end in pipe:
                os.close(end)
