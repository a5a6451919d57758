"""Whether a run may begin with its App: what an inspection has published of the code, held against
the run's spec.

It is no gate but for Apps that ask for one: what an inspection can't tell, in time or at all, the
run's driver finds out. So a cluster that has no room for an inspection doesn't hold up a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.records import RunRecord
from apprun_operator.plan.code_identity import code_of
from apprun_operator.plan.limits import APP_GRACE, Limits
from apprun_operator.plan.run.input_validation import entrypoints, faults, format_faults, input_schema, listed_names

INSPECTION_GRACE: Final = 10.0
"""How long a new run waits for an inspection of its App's code that is under way: both are often
applied together."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """`until` is set while it is too early to complain. `waits`: nobody has to do anything about
    it."""

    reason: str
    message: str
    until: float | None = None
    waits: bool = False


def checked(run: RunRecord, app: AppRecord, now: float, limits: Limits) -> Unresolved | None:
    """Why the run can't begin with the App as it is; None when it may, as far as is known."""
    code, last = code_of(app, limits), app.inspection
    if last is None or last.code != code:
        return _before_inspection(run, app, now)
    if app.refuses_changes and last.result != "Published":
        condition = app.condition("Inspected")
        why = "" if condition is None else condition.message
        reason = "ContractRefused" if last.result == "Refused" else "AppNotInspected"
        return Unresolved(reason, f"App {run.app_ref!r} starts no runs: {why}")
    # guard: contracts-of-this-code - contracts that were published for another image say nothing
    # about this one
    if app.contracts is None or app.contracts.code != code:
        return None
    contracts = app.contracts.packed.object()
    known = entrypoints(contracts)
    entrypoint = run.entrypoint or app.contracts.default_entrypoint
    if known and entrypoint not in known:
        listed = listed_names(sorted(known))
        message = (
            f"spec.entrypoint {entrypoint!r} isn't one of App {run.app_ref!r}: it has {listed}. No pod was started"
        )
        return Unresolved("EntrypointNotFound", message)
    schema = input_schema(contracts, entrypoint)
    found = [] if schema is None else faults(schema, run.input.decode(), "spec.input")
    if not found:
        return None
    message = (
        f"{format_faults(found)}. Entry point {entrypoint!r} of App {run.app_ref!r} doesn't take it, so no pod was "
        "started: correct spec.input of this run, or start a new one"
    )
    return Unresolved("InvalidInput", message)


def _before_inspection(run: RunRecord, app: AppRecord, now: float) -> Unresolved | None:
    """The code hasn't been looked at yet."""
    condition = app.condition("Inspected")
    current = condition is not None and app.observed_generation == app.meta.generation
    failed = condition is not None and current and condition.status == "False"
    message = f"the code of App {run.app_ref!r} is being inspected"
    if app.refuses_changes:
        # This App asked for a gate.
        waiting = f"{message} first, since its contractChanges is Refuse"
        return Unresolved(
            "AppNotInspected", f"{waiting}: {condition.message}" if failed and condition else waiting, waits=not failed
        )
    # The operator says at once that it has seen an App: of one that says nothing an inspection
    # needn't be on its way.
    grace = run.meta.created + 1.0 + (INSPECTION_GRACE if current else APP_GRACE)
    if failed or now >= grace:
        return None
    return Unresolved("AppNotInspected", message, grace)
