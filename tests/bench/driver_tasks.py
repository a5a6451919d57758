"""Driver tasks in sequence and side by side: how long from commit to commit, and the writes that a call takes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from tests.bench import tasks, writes
from tests.support.runs import Runs

BAR_SECONDS = 0.030
"""The p50 of a call in sequence that a change has to stay below, on a machine of its own."""


@dataclass(frozen=True)
class DriverCalls:
    """Times between the commits of calls in sequence, in seconds, and the writes of one of them."""

    p50: float
    p99: float
    own_writes: float
    all_writes: float


def measure(runs: Runs, count: int) -> DriverCalls:
    """One run of `count` driver tasks, one after the other."""
    run = tasks.app_run(runs, "beside", beside=count)
    ends = [datetime.fromisoformat(entry["at"]).timestamp() for entry in runs.checkpoints("beside")]
    assert len(ends) == count, f"{len(ends)} calls were committed"
    times = sorted(later - earlier for earlier, later in pairwise(ends))
    return DriverCalls(
        p50=statistics.median(times),
        p99=times[min(len(times) - 1, round(len(times) * 0.99))],
        own_writes=writes.own(run.writes) / writes.calls(run.writes),
        all_writes=sum(run.writes.values()) / count,
    )


def table(calls: DriverCalls, count: int) -> list[str]:
    return [
        "| driver tasks | p50 | p99 | own writes per call | all writes per call |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| {count} sequential | {calls.p50 * 1000:.0f} ms | {calls.p99 * 1000:.0f} ms | {calls.own_writes:.2f} "
        f"| {calls.all_writes:.1f} |",
    ]
