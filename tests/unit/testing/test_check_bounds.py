"""check_durability executes each body once, starts itself nowhere, leaves no process behind, and comes to an end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.testing import (
    DurabilityError,
    NestedCheckError,
    UnfinishedCheckWarning,
    check_durability,
)
from application_sdk.testing.check_budget import CheckProgress, OutOfTimeError

bodies: list[int] = []


class N(Input):
    n: int = 0


class Out(Output):
    n: int = 0
    text: str = ""


class Eight(App):
    @task
    async def work(self, input: N) -> Out:
        bodies.append(input.n)
        return Out(n=input.n + 1, text=str(uuid.uuid4()))

    async def run(self, input: N) -> Out:
        out = Out()
        for _ in range(4):
            out = await self.work(N(n=out.n))
        outs = await asyncio.gather(*(self.work(N(n=10 + n)) for n in range(4)))
        return Out(n=out.n, text=outs[0].text)


@pytest.mark.slow
def test_each_body_is_executed_once() -> None:
    bodies.clear()
    report = check_durability(Eight, N(), orders=3)
    assert sorted(bodies) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert (report.executed, report.complete) == (8, True)
    assert report.crashes > 3 * 8


class Beats(HeartbeatDetails):
    done: int = 0


class Resuming(App):
    @task
    async def work(self, input: N) -> Out:
        last = self.task_context.get_heartbeat_details(Beats)
        if last is None:
            self.heartbeat(Beats(done=7))
            raise ConnectionError
        return Out(n=last.done)

    async def run(self, input: N) -> Out:
        return await self.work(input)


@pytest.mark.slow
def test_a_recorded_attempt_leaves_its_heartbeat() -> None:
    assert check_durability(Resuming, N(), orders=2).executed == 2


def test_a_check_within_a_task_is_refused() -> None:
    class Nesting(App):
        @task
        async def work(self, input: N) -> Out:
            with pytest.raises(NestedCheckError, match="would start itself again without end"):
                check_durability(Eight, N())
            return Out(n=1)

        async def run(self, input: N) -> Out:
            return await self.work(input)

    outcome = check_durability(Nesting, N(), orders=1).outcomes[0]
    assert outcome.output == {"n": 1, "text": ""}
    assert "APPRUN_DURABILITY_CHECK" not in os.environ


SCRIPT = """
import subprocess, sys
from pathlib import Path
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.testing import check_durability

starts = Path("starts")
with starts.open("a") as file:
    file.write("x")
if starts.stat().st_size > 10:
    sys.exit("started again and again")

class N(Input):
    n: int = 0

class Out(Output):
    n: int = 0

class Shop(App):
    @task
    async def charge(self, input: N) -> Out:
        return Out(n=input.n + 1)

    async def run(self, input: N) -> Out:
        return await self.charge(input)

if len(starts.read_text()) > 1:
    with Path("left").open("a") as file:
        file.write(f"{subprocess.Popen(['sleep', '300']).pid} ")
report = check_durability(Shop, N())
print(report.processes, "processes")
"""


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_script_that_checks_at_module_level_ends(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "2 processes\n"), ended.stderr
    assert (tmp_path / "starts").read_text() == "xxx"
    # What the module starts at its top level ends with the process that imported it.
    left = [int(pid) for pid in (tmp_path / "left").read_text().split()]
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(left) == 2
    assert not [pid for pid in left if alive(pid)]


class Slow(App):
    @task
    async def work(self, input: N) -> Out:
        await asyncio.sleep(0.05)
        return Out(n=input.n + 1)

    async def run(self, input: N) -> Out:
        for n in range(5):
            await self.work(N(n=n))
        return Out()


def test_a_check_out_of_time_tells_what_it_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(progress: CheckProgress) -> None:
        if progress.crashes == 4:
            raise OutOfTimeError

    monkeypatch.setattr(CheckProgress, "_check_time", impatient)
    with pytest.warns(UnfinishedCheckWarning, match="in order 1 of 5 .* 4 crashes, 5 task bodies executed.*stand_ins="):
        report = check_durability(Slow, N())
    assert (report.complete, report.crashes, report.orders) == (False, 4, 1)


def test_a_run_longer_than_the_check_may_take_is_told() -> None:
    with pytest.raises(DurabilityError, match="wasn't checked: its run without a crash wasn't over after"):
        check_durability(Slow, N(), max_seconds=0.01)


def test_a_long_check_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = CheckProgress("check_durability(Shop)", 60, lambda: now)
    progress.begin_order("order 1 of 5")
    progress.before_body("charge")
    assert capsys.readouterr().err == ""
    now = 3.0
    progress.before_crash()
    progress.before_body("ship")
    now = 9.0
    progress.before_body("ship")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "check_durability(Shop): order 1 of 5, 0 crashes, 1 task body executed, after 3 s",
        "check_durability(Shop): order 1 of 5, 1 crash, 3 task bodies executed, executing ship(), after 9 s",
    ]
    now = 61.0
    with pytest.raises(OutOfTimeError):
        progress.before_crash()
