"""What the real kstatus library, hence Flux, makes of the conditions that the operator writes in each phase."""

from __future__ import annotations

from tests.support.kstatus import statuses
from tests.support.kube import Object

from application_sdk.wire.fields import RunPhase
from apprun_operator.plan.conditions import TRUTH, TYPES

EXPECTED: dict[RunPhase, str] = {
    "Pending": "InProgress",
    "Running": "InProgress",
    "Suspended": "InProgress",
    "Cancelling": "InProgress",
    "Stalled": "Failed",
    "Failed": "Failed",
    "Cancelled": "Failed",
    "Succeeded": "Current",
}


def run(phase: RunPhase, generation: int = 1) -> Object:
    conditions = [{"type": kind, "status": truth} for kind, truth in zip(TYPES, TRUTH[phase], strict=True)]
    status = {"phase": phase, "observedGeneration": 1, "conditions": conditions}
    metadata = {"name": "r", "namespace": "n", "generation": generation}
    return {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppRun", "metadata": metadata, "status": status}


def test_each_phase_reads_as_it_should() -> None:
    assert EXPECTED.keys() == TRUTH.keys()
    assert statuses([run(phase) for phase in EXPECTED]) == list(EXPECTED.values())


def test_an_app_is_in_progress_until_it_is_inspected() -> None:
    def app(ready: str, reconciling: str, stalled: str, observed: int = 1) -> Object:
        truths = {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled, "Inspected": ready}
        conditions = [{"type": kind, "status": truth} for kind, truth in truths.items()]
        status = {"observedGeneration": observed, "conditions": conditions}
        metadata = {"name": "a", "namespace": "n", "generation": 1}
        return {"apiVersion": "apprun.dev/v1alpha1", "kind": "App", "metadata": metadata, "status": status}

    new = {**app("True", "False", "False"), "status": {"observedGeneration": -1}}
    known = [app("False", "True", "False"), app("False", "False", "True"), app("True", "False", "False")]
    assert statuses([new, *known]) == ["InProgress", "InProgress", "Failed", "Current"]


def test_a_run_that_the_operator_has_not_seen_is_in_progress() -> None:
    new = {**run("Succeeded"), "status": {"observedGeneration": -1}}
    corrected = run("Stalled", generation=2)
    assert statuses([new, corrected]) == ["InProgress", "InProgress"]
