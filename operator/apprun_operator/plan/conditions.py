"""State of a run as phase, message and kstatus conditions. No other module writes those fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import RunPhase
from application_sdk.wire.reasons import PARKED
from apprun_operator.observe.records import RunRecord
from apprun_operator.observe.times import rfc3339

TRUTH: Final[Mapping[RunPhase, tuple[str, str, str, str]]] = {
    # Ready, Reconciling, Stalled, Succeeded
    "Pending": ("False", "True", "False", "Unknown"),
    "Running": ("False", "True", "False", "Unknown"),
    "Suspended": ("False", "True", "False", "Unknown"),
    "Cancelling": ("False", "True", "False", "Unknown"),
    "Stalled": ("False", "False", "True", "Unknown"),
    "Succeeded": ("True", "False", "False", "True"),
    # To kstatus a thing that will never be ready is stalled: only so Flux and Argo CD call the run
    # failed.
    "Failed": ("False", "False", "True", "False"),
    "Cancelled": ("False", "False", "True", "False"),
}
PARKED_TRUTH: Final = ("True", "False", "False", "Unknown")
"""A parked run has nothing to do, though it isn't over: a rollout needn't wait for it."""
TYPES: Final = ("Ready", "Reconciling", "Stalled", "Succeeded")


@dataclass(frozen=True, slots=True)
class RunCondition:
    """State of a run. `reason` is one word for programs, `message` a sentence for people."""

    phase: RunPhase
    reason: str
    message: str = ""


def current_condition(run: RunRecord) -> RunCondition:
    """The condition that the run's status has at present."""
    ready = run.condition("Ready")
    return RunCondition(run.phase, ready.reason if ready else "", run.message)


def is_written(run: RunRecord, condition: RunCondition) -> bool:
    """Whether the status has this condition already, for the newest spec."""
    return run.observed_generation == run.meta.generation and current_condition(run) == condition


def changes(run: RunRecord, condition: RunCondition, now: float) -> JSONObject:
    """The status fields that say `condition`; none if the status says it already."""
    return {} if is_written(run, condition) else fields(run, condition, now)


def unreadable(run: RunRecord, now: float) -> JSONObject | None:
    """Conditions for a run that can't be understood, or None when it has them. The rest of its
    status is left alone."""
    message = (
        f"this version of the operator can't read the object: {run.problem}. It is left alone until that is corrected"
    )
    stalled = run.condition("Stalled")
    if stalled is not None and (stalled.status, stalled.message) == ("True", message):
        return None
    return {"conditions": fields(run, RunCondition("Stalled", "Unreadable", message), now)["conditions"]}


def fields(run: RunRecord, condition: RunCondition, now: float) -> JSONObject:
    """The status fields for `condition`. A condition keeps its transition time while its status is
    the same."""
    conditions: list[JSON] = []
    # guard: parked-while-running - an app may call the error that fails its run `Parked`
    is_parked = condition.phase == "Running" and condition.reason == PARKED
    truths = PARKED_TRUTH if is_parked else TRUTH[condition.phase]
    for kind, truth in zip(TYPES, truths, strict=True):
        before = run.condition(kind)
        since = before.since if before is not None and before.status == truth and before.since else rfc3339(now)
        conditions.append(
            {
                "type": kind,
                "status": truth,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": since,
                "observedGeneration": run.meta.generation,
            }
        )
    return {
        "phase": cast("JSON", condition.phase),
        "message": condition.message,
        "observedGeneration": run.meta.generation,
        "conditions": conditions,
    }
