"""Runs that are gated by their handler's preflight check, on a real cluster."""

from __future__ import annotations

import pytest
from tests.support.kube import Kube, Object, eventually
from tests.support.runs import APPS, Runs


@pytest.fixture
def gated(runs: Runs, kube: Kube) -> Runs:
    """The gated app, which has the Secret that its check needs."""
    kube.create(f"{runs.core}/secrets", {"metadata": {"name": "door"}, "stringData": {"number": "forty-two"}})
    runs.upload("gated")
    runs.app("gated", "app:Gated", secrets=[{"name": "door"}])
    return runs


def calls(runs: Runs, run: str) -> list[tuple[str, str]]:
    """Tasks and outcomes of a run's ledger, in order."""
    return [(entry["task"], entry["outcome"]) for entry in runs.checkpoints(run)]


def test_a_failed_preflight_starts_no_task(gated: Runs) -> None:
    gated.start("bad", "gated", {"door": "seven"})
    gated.start("good", "gated", {"door": "forty-two"})

    failed = gated.until_phase("bad", "Failed", "Succeeded", "Stalled")
    assert failed["phase"] == "Failed"
    assert failed["error"]["type"] == "PreflightFailedError"
    assert failed["error"]["message"] == "not ready to run: door: no door seven"
    (made,) = gated.tasks("bad")
    assert (made["spec"]["task"], made["status"].get("attempt", 1)) == ("apprun.preflight", 1), "never tried again"
    assert calls(gated, "bad") == [("apprun.preflight", "Failed")]

    assert gated.until_phase("good", "Failed", "Succeeded", "Stalled")["output"] == {"text": "paid"}
    assert calls(gated, "good") == [("apprun.preflight", "Succeeded"), ("pay", "Succeeded")]


def test_a_run_keeps_its_gate_when_its_driver_is_lost(gated: Runs, kube: Kube) -> None:
    gated.start("slow", "gated", {"door": "forty-two", "seconds": 8})

    def at_the_gate() -> Object | None:
        return next((pod for pod in gated.pods("slow") if pod["metadata"]["labels"]["apprun.dev/role"] == "task"), None)

    eventually("the check has a pod", at_the_gate, 60)
    text = (APPS / "gated.py").read_text()
    ungated = text.replace('preflight_gate_mode = "hard"', 'preflight_gate_mode = "off"')
    gated.upload("gated", ungated)
    kube.delete(f"{gated.core}/pods/{gated.driver_pod('slow')}")

    # Code that has no gate any more never gets into a run that began with one.
    assert gated.until_phase("slow", "Failed", "Succeeded", "Stalled")["conditions"][0]["reason"] == "CodeChanged"
    gated.upload("gated", text)
    assert gated.until_phase("slow", "Failed", "Succeeded")["output"] == {"text": "paid"}
    assert calls(gated, "slow") == [("apprun.preflight", "Succeeded"), ("pay", "Succeeded")]
    gated.upload("gated", ungated)
    gated.start("free", "gated", {"door": "seven"})
    gated.until_phase("free", "Succeeded")
    assert calls(gated, "free") == [("pay", "Succeeded")], "a run that begins now has none"
