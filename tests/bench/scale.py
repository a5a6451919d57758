"""`make bench`, second part: a run of ten tasks, then one of two thousand, all live at a time, on kwok's nodes.

Writes are the API server's own count, processor time and memory the kernel's. How fast it goes says little: task bodies
are a stand-in's, on the same two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.bench import kwok, writes
from tests.support.bed import CLI, EXISTING, KEEP, SYSTEM_NAMESPACE, Bed, bring_up, take_down
from tests.support.figures import write
from tests.support.kube import CORE, eventually
from tests.support.replicas import Replica, Replicas
from tests.support.runs import Runs

COMMAND = "make bench, scale"
OPTIONS = (
    "--real-timing",
    *("--set", "kube-scheduler.kube-api-qps=1000", "--set", "kube-scheduler.kube-api-burst=1000"),
)
PATIENCE = 900
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Restart:
    """Both replicas died at once. In seconds: a new process' start until it knows everything; death until a commit."""

    ready: float
    commit: float


@dataclass(frozen=True)
class Load:
    """What one run cost. Processor time in seconds, of the operator that led; memory in MiB, with all tasks live."""

    tasks: int
    counts: Counter[tuple[str, str]]
    cpu: float
    idle_memory: float
    memory: float
    standby_memory: float
    live: float
    """Seconds until all were live."""
    ended: float
    """And from when they were let go until the run had succeeded and no pod was left."""
    restart: Restart | None

    @property
    def writes_per_task(self) -> float:
        """Of driver, tasks and operator, per AppTask; the driver is one more than there are tasks."""
        return writes.own(self.counts) / writes.calls(self.counts)


def cpu_seconds(replica: Replica) -> float:
    fields = Path(f"/proc/{replica.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(replica: Replica) -> float:
    (line,) = [line for line in Path(f"/proc/{replica.pid}/status").read_text().splitlines() if "VmRSS" in line]
    return int(line.split()[1]) / 1024


def measured(runs: Runs, replicas: Replicas, name: str, tasks: int, *, restart: bool = False) -> Load:
    """A run whose tasks are held until the last one is live; then, if asked, both replicas die; then all tasks report.

    What a new leader's start costs isn't counted as the tasks' processor time. The writes of its pod are: 4 in all.
    """
    leader = replicas.leader()
    (standby,) = [one for one in replicas.all() if one != leader]
    before, cpu, idle = writes.snapshot(runs.kube), cpu_seconds(leader), memory(leader)
    stand_in = kwok.StandIn(runs, name)
    started = time.monotonic()
    runs.start(name, "pretended", {"calls": tasks}, parallelism=tasks)
    until_live(stand_in, tasks)
    live = time.monotonic() - started
    used, with_all, beside = cpu_seconds(leader) - cpu, memory(leader), memory(standby)
    death = restarted(runs, replicas, stand_in, name) if restart else None
    leader, cpu = replicas.leader(), cpu_seconds(replicas.leader())
    started = time.monotonic()
    stand_in.release()
    until_succeeded(runs, name, tasks)
    assert replicas.leader() == leader, "leadership changed in the middle: measure again"
    used += cpu_seconds(leader) - cpu
    stand_in.close()
    ended = time.monotonic() - started
    return Load(tasks, writes.snapshot(runs.kube) - before, used, idle, with_all, beside, live, ended, death)


def until_live(stand_in: kwok.StandIn, tasks: int) -> None:
    eventually(f"{tasks} tasks are live", lambda: stand_in.live >= tasks or None, PATIENCE, every=1)


def until_succeeded(runs: Runs, name: str, tasks: int) -> None:
    status = runs.until_phase(name, "Succeeded", "Failed", "Stalled", seconds=PATIENCE)
    assert status["phase"] == "Succeeded", status["message"]
    assert status["output"] == {"value": sum(range(tasks))}
    eventually("no pod is left", lambda: not runs.pods(name) or None, PATIENCE, every=1)


def restarted(runs: Runs, replicas: Replicas, stand_in: kwok.StandIn, run: str) -> Restart:
    died = time.monotonic()
    for replica in replicas.all():
        replicas.kill(replica)
    stand_in.release(1)
    runs.until_committed(run, 1, PATIENCE)
    commit = time.monotonic() - died
    return Restart(known_after(replicas.leader().name, runs), commit)


def known_after(name: str, runs: Runs) -> float:
    """From the start of the container to the line in the log that says what is known."""
    path = f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{name}"
    (container,) = runs.kube.get(path)["status"]["containerStatuses"]
    started = datetime.fromisoformat(container["state"]["running"]["startedAt"])
    log = runs.kube.raw(f"{path}/log").splitlines()
    lines = [json.loads(line) for line in log if line.startswith("{")]
    ready = next(line for line in lines if line["message"].startswith("ready: "))
    return (datetime.fromisoformat(ready["time"]) - started).total_seconds()


def measure(bed: Bed, few: int, many: int) -> list[str]:
    runs = prepare(bed)
    replicas = Replicas(bed)
    program = Path(subprocess.check_output([sys.executable, CLI, "binaries", "--kwok"], text=True).strip()) / "kwok"
    with tempfile.TemporaryDirectory() as folder, kwok.nodes(bed, program, Path(folder)):
        small = measured(runs, replicas, f"of-{few}", few)
        return told([small, measured(runs, replicas, f"of-{many}", many, restart=True)])


def told(loads: list[Load]) -> list[str]:
    """Markdown."""
    head = ("tasks", "own writes per task", "operator's CPU per task", "its memory before, with all live, standby's")
    rows = [
        f"| {load.tasks} | {load.writes_per_task:.2f} | {1000 * load.cpu / load.tasks:.1f} ms "
        f"| {load.idle_memory:.0f}, {load.memory:.0f}, {load.standby_memory:.0f} MiB "
        f"| {load.live:.0f} s, {load.ended:.0f} s |"
        for load in loads
    ]
    many = loads[-1]
    restart = many.restart
    assert restart is not None
    counts = sorted(((k, n) for k, n in many.counts.items() if n > many.tasks // 200), key=lambda pair: -pair[1])
    return [
        f"| {' | '.join(head)} | until all were live, and until all were done |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Both replicas killed with {many.tasks} tasks live: a new one knows everything {restart.ready:.1f} s after "
        f"its container's start; the next result is committed {restart.commit:.1f} s after the death, with the "
        "Lease's expiry and the start of its pod.",
        "",
        f"Writes of the {many.tasks}: {', '.join(f'{verb} {what} {n}' for (verb, what), n in counts)}.",
    ]


def prepare(bed: Bed) -> Runs:
    namespace = f"scale-{uuid.uuid4().hex[:6]}"
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
    runs = Runs(bed.kube, namespace)
    runs.upload("pretended", (Path(__file__).parent / "scale_app.py").read_text())
    runs.app("pretended", "app:Pretended")
    runs.until_inspected("pretended")
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--name", default="scale", help="the cluster's name")
    parser.add_argument("--dry-run", action="store_true", help="print only; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    if EXISTING:
        sys.stderr.write("processes of an existing cluster aren't within reach\n")
        sys.exit(2)
    bed = bring_up(options.name, *OPTIONS)
    try:
        lines = measure(bed, options.few, options.many)
    finally:
        if not KEEP:
            take_down(options.name)
    sys.stdout.write("\n".join(lines) + "\n")
    if not options.dry_run:
        write(COMMAND, lines)


if __name__ == "__main__":
    main()
