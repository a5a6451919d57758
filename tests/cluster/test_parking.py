"""Parked drivers on a real cluster: a run that waits holds no pod but those that work for it."""

from __future__ import annotations

import pytest
from tests.support.kube import Object, eventually
from tests.support.runs import Runs

APP = """
import asyncio
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class Wait(Input):
    seconds: float = 0

class Done(Output):
    text: str = ""

class Patient(App):
    @task
    async def work(self, input: Wait) -> Done:
        await asyncio.sleep(input.seconds)
        return Done(text="worked")

    @task
    async def tidy(self, input: Wait) -> Done:
        return Done(text="tidied")

    async def run(self, input: Wait) -> Done:
        try:
            done = await self.work(input)
            await self.sleep(input.seconds)
        except asyncio.CancelledError:
            await self.tidy(Wait())
            raise
        return done
"""


@pytest.fixture
def patient(runs: Runs) -> Runs:
    runs.upload("patient", APP)
    runs.app("patient", "app:Patient", parkAfterSeconds=2)
    return runs


def until_parked(runs: Runs, run: str) -> Object:
    """Wait until the run is parked, and its driver's pod is gone; its condition Ready."""

    def parked() -> Object | None:
        ready = runs.condition(run, "Ready")
        drivers = [pod for pod in runs.pods(run) if "-driver-" in pod["metadata"]["name"]]
        return ready if ready is not None and ready["reason"] == "Parked" and not drivers else None

    return eventually(f"{run} is parked", parked, 60)


def driver_attempts(runs: Runs, run: str) -> list[tuple[str, str]]:
    (driver,) = runs.tasks(run, "driver")
    return [(one["reason"], one["budget"]) for one in driver["status"].get("attempts", [])]


def test_run_that_waits_holds_the_task_s_pod_alone(patient: Runs) -> None:
    patient.start("long", "patient", {"seconds": 12})
    ready = until_parked(patient, "long")
    assert (ready["status"], "waits for 1 call" in ready["message"]) == ("True", True), ready
    assert len(patient.pods("long")) == 1
    status = patient.until_phase("long", "Succeeded", "Failed", "Stalled")
    assert status["output"] == {"text": "worked"}, status
    # For the task, and for the timer after it.
    assert driver_attempts(patient, "long") == [("Parked", "None")] * 2
    assert [entry["attempts"] for entry in patient.checkpoints("long")] == [1, 1]


def test_parked_run_that_is_cancelled_cleans_up(patient: Runs) -> None:
    patient.start("stopped", "patient", {"seconds": 300})
    until_parked(patient, "stopped")
    patient.kube.merge(f"{patient.api}/appruns/stopped", {"spec": {"cancel": True}})
    patient.until_phase("stopped", "Cancelled", seconds=60)
    assert "tidy" in {entry["task"] for entry in patient.checkpoints("stopped")}


def test_parked_run_survives_that_its_app_is_deleted(patient: Runs) -> None:
    patient.start("orphan", "patient", {"seconds": 8})
    until_parked(patient, "orphan")
    patient.kube.delete(f"{patient.api}/apps/patient")
    status = patient.until_phase("orphan", "Succeeded", "Failed", "Stalled")
    assert status["output"] == {"text": "worked"}, status
