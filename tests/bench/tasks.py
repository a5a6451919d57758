"""Trivial tasks beside the same number of bare pods, in the same run on the same cluster."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.bench import writes
from tests.support.bed import RUNTIME_IMAGE
from tests.support.kube import Kube, Object, eventually
from tests.support.runs import Runs


@dataclass(frozen=True)
class Measured:
    """Wall time in seconds from the first create to the last success seen by a watch, and the writes it took."""

    seconds: float
    writes: Counter[tuple[str, str]]


def settle(runs: Runs) -> None:
    """Wait until the previous measurement's pods are gone, so that the next one has the machine to itself."""
    eventually("no pods are left", lambda: not runs.kube.items(f"{runs.core}/pods") or None, 120)
    time.sleep(2)


def app_run(runs: Runs, name: str, **count: int) -> Measured:
    before = writes.snapshot(runs.kube)
    start = time.monotonic()
    runs.start(name, "trivial", dict(count), parallelism=max(1, count.get("parallel", 1), count.get("width", 1)))
    for event in runs.kube.watch(f"{runs.api}/appruns", f"&fieldSelector=metadata.name={name}", 300):
        phase = event["object"].get("status", {}).get("phase")
        if phase == "Succeeded":
            break
        assert phase not in {"Failed", "Stalled"}, event["object"]["status"]
    seconds = time.monotonic() - start
    settle(runs)
    return Measured(seconds, writes.snapshot(runs.kube) - before)


def bare_pods(runs: Runs, total: int, at_once: int) -> Measured:
    """`total` pods that run nothing but Python, `at_once` at a time, each followed until its phase is Succeeded."""
    before = writes.snapshot(runs.kube)
    start = time.monotonic()
    for batch in range(0, total, at_once):
        names = {f"bare-{at_once}-{i}" for i in range(batch, min(batch + at_once, total))}
        version = runs.kube.get(f"{runs.core}/pods")["metadata"]["resourceVersion"]
        for name in sorted(names):
            runs.kube.create(f"{runs.core}/pods", bare_pod(name))
        for event in runs.kube.watch(f"{runs.core}/pods", f"&resourceVersion={version}", 300):
            if event["object"].get("status", {}).get("phase") == "Succeeded":
                names.discard(event["object"]["metadata"]["name"])
            if not names:
                break
    seconds = time.monotonic() - start
    runs.kube.request("DELETE", f"{runs.core}/pods")
    settle(runs)
    return Measured(seconds, writes.snapshot(runs.kube) - before)


def bare_pod(name: str) -> Object:
    container = {
        "name": "python",
        "image": RUNTIME_IMAGE,
        "command": ["python3", "-c", "pass"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}


def prepare(kube: Kube, namespace: str) -> Runs:
    runs = Runs(kube, namespace)
    runs.upload("trivial", (Path(__file__).parent / "app.py").read_text())
    runs.app("trivial", "app:Trivial")
    runs.until_inspected("trivial")
    return runs
