"""`make bench`: measure on a real cluster, print a table, and write it into docs/benchmarks.md between its markers."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections import Counter

from tests.bench import driver_tasks, tasks, warm_pods, writes
from tests.support.bed import EXISTING, KEEP, bring_up, take_down
from tests.support.figures import write
from tests.support.kube import CORE

COMMAND = "make bench"


def measure(sequential: int, parallel: int, driver_calls: int, warm_calls: int) -> list[str]:
    bed = bring_up("bench")
    namespace = f"bench-{uuid.uuid4().hex[:6]}"
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
    runs = tasks.prepare(bed.kube, namespace)
    try:
        tasks.app_run(runs, "warm", sequential=1)
        tasks.bare_pods(runs, 1, 1)
        lines = [
            "| tasks | AppRun | bare pods | ratio | per task | own writes per task | all writes per task, bare |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        details: list[str] = []
        for label, count, at_once in (("sequential", sequential, 1), ("parallel", parallel, parallel)):
            run = tasks.app_run(runs, label, **{label: count})
            bare = tasks.bare_pods(runs, count, at_once)
            lines.append(
                f"| {count} {label} | {run.seconds:.1f} s | {bare.seconds:.1f} s | {run.seconds / bare.seconds:.2f} × "
                f"| {run.seconds / count:.2f} s | {writes.own(run.writes) / writes.calls(run.writes):.2f} "
                f"| {sum(run.writes.values()) / count:.1f}, {sum(bare.writes.values()) / count:.1f} |"
            )
            details += ["", f"Writes of the {count} {label} tasks: {described(run.writes)}."]
        beside = driver_tasks.table(driver_tasks.measure(runs, driver_calls), driver_calls)
        warm = warm_pods.table(warm_pods.measure(runs, driver_calls, warm_calls), driver_calls, warm_calls)
        return [*lines, *details, "", *beside, "", *warm]
    finally:
        bed.kube.delete(f"{CORE}/namespaces/{namespace}")
        if not EXISTING and not KEEP:
            take_down("bench")


def described(counts: Counter[tuple[str, str]]) -> str:
    ours = {k: n for k, n in counts.items() if k[1].split("/")[0] in {*writes.OWN_RESOURCES, "pods", "events"}}
    return ", ".join(
        f"{verb} {resource} {n}" for (verb, resource), n in sorted(ours.items(), key=lambda item: -item[1])
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--sequential", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=40)
    parser.add_argument("--driver-calls", type=int, default=200)
    parser.add_argument("--warm-calls", type=int, default=1000, help="calls of one fan-out on warm pods")
    parser.add_argument("--dry-run", action="store_true", help="print only; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    lines = measure(options.sequential, options.parallel, options.driver_calls, options.warm_calls)
    sys.stdout.write("\n".join(lines) + "\n")
    if not options.dry_run:
        write(COMMAND, lines)


if __name__ == "__main__":
    main()
