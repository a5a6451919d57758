"""`python -m tests.bench.replay`: how long a replay of 10,000 checkpoints takes, and what importing an app costs.

In seconds of CPU time, the best of several, so that other work on the machine counts as little as can be.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.execution.export import replay_run
from application_sdk.testing import run_app

CHECKPOINTS = 10_000
BRANCHES = 100
REPLAY_TARGET_SECONDS = 2.0
IMPORT_TARGET_RATIO = 1.3
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


def replay_seconds(rounds: int = 5) -> float:
    """CPU time of one replay."""
    exported = run_app(Many, Number(n=CHECKPOINTS)).exported
    best = float("inf")
    for _ in range(rounds):
        before = time.process_time()
        replayed = replay_run(Many, exported)
        best = min(best, time.process_time() - before)
        assert replayed.result is not None
        assert replayed.result.outcome == "Succeeded"
    return best


def import_seconds(program: str, rounds: int = 15) -> float:
    """CPU time of a fresh interpreter that runs a program."""
    best = float("inf")
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def main() -> int:
    replay = replay_seconds()
    pydantic, sdk = import_seconds(PYDANTIC), import_seconds(SDK)
    print(f"replay of {CHECKPOINTS:,} checkpoints: {replay:.2f} s (target {REPLAY_TARGET_SECONDS:g} s)")
    print(f"import application_sdk.app: {sdk:.3f} s, pydantic with one model: {pydantic:.3f} s: {sdk / pydantic:.2f} ×")
    return int(replay > REPLAY_TARGET_SECONDS or sdk / pydantic > IMPORT_TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main())
