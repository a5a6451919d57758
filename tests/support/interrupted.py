"""A run that is in the middle of its work when something breaks, and what must hold of it afterwards."""

from __future__ import annotations

from collections import Counter

from tests.support.kube import Object, eventually
from tests.support.runs import Runs


def started(runs: Runs, run: str, **input: object) -> Counter[str]:
    """Start a run, wait until its fan-out is partly committed; the witnesses of what is committed then."""
    runs.start(run, "probe", {"before": 2, "width": 6, "after": 2, "seconds": 6, **input})
    runs.until_committed(run, 2)
    eventually("the fan-out's pods run", lambda: len(working_pods(runs, run)) >= 6 or None)
    committed = {entry["key"] for entry in runs.checkpoints(run)}
    return Counter({key: count for key, count in runs.witnesses().items() if key in committed})


def working_pods(runs: Runs, run: str) -> list[Object]:
    return [
        pod
        for pod in runs.pods(run)
        if pod["metadata"]["labels"]["apprun.dev/role"] == "task" and pod["status"].get("phase") == "Running"
    ]


def driver_pod(runs: Runs, run: str) -> Object:
    return eventually(
        "the driver runs",
        lambda: next((p for p in runs.pods(run) if p["metadata"]["labels"]["apprun.dev/role"] == "driver"), None),
    )


def assert_completed(runs: Runs, run: str, committed: Counter[str], *, lost: frozenset[str] = frozenset()) -> None:
    """The run succeeded, what was committed ran once, and nothing outside `lost` ran twice."""
    status = runs.until_phase(run, "Succeeded", "Failed", seconds=240)
    assert status["phase"] == "Succeeded", status
    assert len(status["output"]["names"]) == len(runs.checkpoints(run))
    witnesses = runs.witnesses()
    for key in committed:
        assert witnesses[key] == 1, f"committed task {key} ran {witnesses[key]} times"
    repeated = {key for key, count in witnesses.items() if count > 1}
    assert repeated <= lost
    assert {entry["key"] for entry in runs.checkpoints(run)} == set(witnesses)
