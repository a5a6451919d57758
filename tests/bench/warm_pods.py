"""Calls in warm pods: one after the other, and many side by side; how long they take, and the writes of one of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from tests.bench import tasks, writes
from tests.support.runs import Runs

WAVE = 40
"""Calls of a fan-out whose time is taken when the pool has all of its pods."""


@dataclass(frozen=True)
class WarmCalls:
    """Times in seconds. Writes are those of one call, by AppRun's own processes and by all clients."""

    p50: float
    """Between the commits of calls in sequence."""
    p99: float
    own_writes: float
    all_writes: float
    wave: float
    """From the end of one fan-out of `WAVE` calls to the end of the next."""
    per_second: float
    """Calls of a single large fan-out, from its first commit to its last."""


def measure(runs: Runs, sequential: int, parallel: int) -> WarmCalls:
    """Three runs: `sequential` calls, waves of `WAVE`, and a fan-out of `parallel`."""
    run = tasks.app_run(runs, "warm-sequence", warm=sequential)
    times = sorted(later - earlier for earlier, later in pairwise(_ends(runs, "warm-sequence", sequential)[1:]))
    tasks.app_run(runs, "warm-waves", waves=4, width=WAVE)
    ends = _ends(runs, "warm-waves", 4 * WAVE)
    last = [max(ends[wave * WAVE : (wave + 1) * WAVE]) for wave in range(4)]
    waves = [later - earlier for earlier, later in pairwise(last)]
    # The first fan-out brings the pool to its size.
    tasks.app_run(runs, "warm-wide", waves=1, width=parallel)
    wide = _ends(runs, "warm-wide", parallel)
    return WarmCalls(
        p50=statistics.median(times),
        p99=times[min(len(times) - 1, round(len(times) * 0.99))],
        own_writes=writes.own(run.writes) / writes.calls(run.writes),
        all_writes=sum(run.writes.values()) / sequential,
        wave=statistics.median(waves[1:]),
        per_second=len(wide) / (max(wide) - min(wide)),
    )


def _ends(runs: Runs, run: str, count: int) -> list[float]:
    """When the run's calls were committed, in seconds since the epoch, in the ledger's order."""
    ends = [datetime.fromisoformat(entry["at"]).timestamp() for entry in runs.checkpoints(run)]
    assert len(ends) == count, f"{len(ends)} calls were committed"
    return ends


def table(calls: WarmCalls, sequential: int, parallel: int) -> list[str]:
    return [
        f"| warm pods | p50 | p99 | own writes per call | all writes per call | {WAVE} side by side "
        f"| {parallel:,} side by side |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {sequential} sequential | {calls.p50 * 1000:.0f} ms | {calls.p99 * 1000:.0f} ms | {calls.own_writes:.2f} "
        f"| {calls.all_writes:.1f} | {calls.wave:.1f} s | {calls.per_second:.0f} calls/s |",
    ]
