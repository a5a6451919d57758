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
class Load:
    """What one run cost. Processor time in seconds, of the operator that led; memory in MiB, with all tasks live."""

    tasks: int
    counts: Counter[tuple[str, str]]
    cpu: float
    idle_memory: float
    memory: float
    standby_memory: float
    seconds: float

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


def measured(runs: Runs, replicas: Replicas, name: str, tasks: int) -> Load:
    """A run whose tasks are all held until the last one is live, and then report."""
    leader = replicas.leader()
    (standby,) = [one for one in replicas.all() if one != leader]
    before, cpu, idle = writes.snapshot(runs.kube), cpu_seconds(leader), memory(leader)
    stand_in = kwok.StandIn(runs, name)
    started = time.monotonic()
    runs.start(name, "pretended", {"calls": tasks}, parallelism=tasks)
    until_live(stand_in, tasks)
    with_all, beside = memory(leader), memory(standby)
    stand_in.release()
    until_succeeded(runs, name, tasks)
    seconds = time.monotonic() - started
    assert replicas.leader() == leader, "leadership changed in the middle: measure again"
    used = cpu_seconds(leader) - cpu
    stand_in.close()
    return Load(tasks, writes.snapshot(runs.kube) - before, used, idle, with_all, beside, seconds)


def until_live(stand_in: kwok.StandIn, tasks: int) -> None:
    eventually(f"{tasks} tasks are live", lambda: stand_in.live >= tasks or None, PATIENCE, every=1)


def until_succeeded(runs: Runs, name: str, tasks: int) -> None:
    status = runs.until_phase(name, "Succeeded", "Failed", "Stalled", seconds=PATIENCE)
    assert status["phase"] == "Succeeded", status["message"]
    assert status["output"] == {"value": sum(range(tasks))}
    eventually("no pod is left", lambda: not runs.pods(name) or None, PATIENCE, every=1)


@dataclass(frozen=True)
class Restart:
    """Both replicas died at once. In seconds: a new process' start until it knows everything; death until a commit."""

    ready: float
    commit: float


def restarted(bed: Bed, runs: Runs, replicas: Replicas, tasks: int) -> Restart:
    stand_in = kwok.StandIn(runs, "restarted")
    runs.start("restarted", "pretended", {"calls": tasks}, parallelism=tasks)
    until_live(stand_in, tasks)
    died = time.monotonic()
    for one in replicas.all():
        replicas.kill(one)
    stand_in.release(1)
    runs.until_committed("restarted", 1, PATIENCE)
    commit = time.monotonic() - died
    new = replicas.leader()
    ready = known_after(bed, new.name)
    stand_in.release()
    until_succeeded(runs, "restarted", tasks)
    stand_in.close()
    return Restart(ready, commit)


def known_after(bed: Bed, name: str) -> float:
    """From the start of the container to the line in the log that says what is known."""
    pod = bed.kube.get(f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{name}")
    (container,) = pod["status"]["containerStatuses"]
    started = datetime.fromisoformat(container["state"]["running"]["startedAt"])
    log = bed.run(bed.kubectl, "-n", SYSTEM_NAMESPACE, "logs", name).stdout.splitlines()
    lines = [json.loads(line) for line in log if line.startswith("{")]
    ready = next(line for line in lines if line["message"].startswith("ready: "))
    return (datetime.fromisoformat(ready["time"]) - started).total_seconds()


def measure(bed: Bed, few: int, many: int) -> list[str]:
    runs = prepare(bed)
    replicas = Replicas(bed)
    program = Path(subprocess.check_output([sys.executable, CLI, "binaries", "--kwok"], text=True).strip()) / "kwok"
    with tempfile.TemporaryDirectory() as folder, kwok.nodes(bed, program, Path(folder)):
        measured(runs, replicas, "warm", 2)
        loads = [measured(runs, replicas, f"of-{tasks}", tasks) for tasks in (few, many)]
        restart = restarted(bed, runs, replicas, many)
    return told(loads, restart)


def told(loads: list[Load], restart: Restart) -> list[str]:
    """Markdown."""
    head = ("tasks", "own writes per task", "operator's CPU per task", "its memory before, with all live, standby's")
    rows = [
        f"| {load.tasks} | {load.writes_per_task:.2f} | {1000 * load.cpu / load.tasks:.1f} ms "
        f"| {load.idle_memory:.0f}, {load.memory:.0f}, {load.standby_memory:.0f} MiB | {load.seconds:.0f} s |"
        for load in loads
    ]
    many = loads[-1]
    counts = sorted(((k, n) for k, n in many.counts.items() if n > many.tasks // 200), key=lambda pair: -pair[1])
    return [
        f"| {' | '.join(head)} | took |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Both replicas killed with {many.tasks} tasks live: a new one knows everything {restart.ready:.1f} s after "
        f"its container's start; the next result is committed {restart.commit:.1f} s after the death, with the Lease's "
        "expiry and the start of its pod.",
        "",
        f"Writes of the {many.tasks}: {', '.join(f'{verb} {what} {n}' for (verb, what), n in counts)}.",
    ]


def prepare(bed: Bed) -> Runs:
    namespace = f"scale-{uuid.uuid4().hex[:6]}"
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
    runs = Runs(bed.kube, namespace)
    runs.upload("pretended", (Path(__file__).parent / "scale_app.py").read_text())
    runs.app("pretended", "app:Pretended")
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
