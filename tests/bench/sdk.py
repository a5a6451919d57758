"""`make bench-sdk`: what the SDK costs without a cluster. Prints a table and writes it into docs/benchmarks.md.

Everything is measured in processor time, the best of several, so that other work on the machine counts as little as can
be; the time on the wall stands beside it where tasks run.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.app import Trivial
from tests.support.bed import ROOT
from tests.support.figures import write

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import (
    ExecutionOptions,
    RunRequest,
    create_run,
    execute,
    in_process_executor,
    process_executor,
)
from application_sdk.engines.processes.source import AppSource
from application_sdk.replay.history import replay_run
from application_sdk.testing import run_app

COMMAND = "make bench-sdk"
CORES = 2
CHECKPOINTS = 10_000
BRANCHES = 100
PYDANTIC = "from pydantic import BaseModel\nclass Model(BaseModel):\n    field: int"
SDK = "import application_sdk.app"


class Number(Input):
    n: int


class Sum(Output):
    n: int


class Many(App):
    @task
    async def increment(self, input: Number) -> Sum:
        return Sum(n=input.n + 1)

    async def run(self, input: Number) -> Sum:
        total = 0
        for batch in range(input.n // BRANCHES):
            calls = (self.increment(Number(n=batch * BRANCHES + index)) for index in range(BRANCHES))
            total += sum(out.n for out in await asyncio.gather(*calls))
        return Sum(n=total)


class Spent(NamedTuple):
    """Seconds."""

    processor: float
    """Of this process and those that it started and waited for."""
    wall: float


def now() -> Spent:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Spent(sum(each.ru_utime + each.ru_stime for each in used), time.perf_counter())


def since(start: Spent) -> Spent:
    end = now()
    return Spent(end.processor - start.processor, end.wall - start.wall)


def replay(rounds: int) -> Spent:
    """One replay of 10,000 checkpoints, a hundred branches at a time."""
    exported = run_app(Many, Number(n=CHECKPOINTS)).exported
    spent: list[Spent] = []
    for _ in range(rounds):
        start = now()
        replayed = replay_run(Many, exported)
        spent.append(since(start))
        assert replayed.result is not None
        assert replayed.result.outcome == "Succeeded"
    return min(spent)


def start_of(program: str, rounds: int) -> Spent:
    """A fresh interpreter that runs a program."""
    spent: list[Spent] = []
    for _ in range(rounds):
        start = now()
        subprocess.run([sys.executable, "-c", program], check=True)
        spent.append(since(start))
    return min(spent)


def local(parallel: int, sequential: int, *, in_process: bool, rounds: int) -> Spent:
    """One run of tasks that do nothing on the local engine, its ledger on this machine's disk."""
    source = AppSource("tests.bench.app:Trivial", str(ROOT))
    app = source.load() if not in_process else Trivial
    spent: list[Spent] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
            home, name = RunStore(Path(folder)), f"bench-{number}"
            payload = {"parallel": parallel, "sequential": sequential}
            create_run(home, name, RunRequest(source, app.definition.name, "run", payload))
            start = now()
            with in_process_executor(app) if in_process else process_executor(source) as executor:
                run = execute(
                    home, name, app, source, executor, ExecutionOptions(Limits(100 if in_process else 2 * CORES))
                )
            spent.append(since(start))
            assert run.phase == "Succeeded", run
    return min(spent)


def tasks_row(what: str, count: int, spent: Spent, cores: int, target: str) -> str:
    return (
        f"| {what} | {count / spent.processor * cores:,.0f} tasks/s | {count / spent.wall:,.0f} tasks/s "
        f"| {1000 * spent.processor / count:.1f} ms a task | {target} |"
    )


def measure(rounds: int) -> list[str]:
    lines = [
        "| what | by processor time | on the wall | processor time | asked for |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for what, parallel, sequential, in_process, cores, target in (
        ("2,000 tasks side by side, in process", 2000, 0, True, 1, "1,000"),
        ("500 tasks in a row, in process", 0, 500, True, 1, ""),
        ("200 tasks side by side, a process each", 200, 0, False, CORES, "25"),
        ("40 tasks in a row, a process each", 0, 40, False, 1, ""),
    ):
        spent = local(parallel, sequential, in_process=in_process, rounds=rounds)
        lines.append(tasks_row(what, parallel + sequential, spent, cores, target))
    replayed = replay(rounds)
    pydantic, sdk = (start_of(program, 5 * rounds).processor for program in (PYDANTIC, SDK))
    return [
        *lines,
        f"| replay of {CHECKPOINTS:,} checkpoints | | {replayed.wall:.2f} s | {replayed.processor:.2f} s | 2 s |",
        f"| `import application_sdk.app` | {sdk / pydantic:.2f} × | | {sdk:.3f} s | 1.3 × |",
        f"| the same for pydantic with one model | | | {pydantic:.3f} s | |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry-run", action="store_true", help="print only; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    lines = measure(options.rounds)
    sys.stdout.write("\n".join(lines) + "\n")
    if not options.dry_run:
        write(COMMAND, lines)


if __name__ == "__main__":
    main()
