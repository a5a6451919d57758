"""An AppRun's app to the `status.app` that the run begins with, or to what a person has to correct first."""

from __future__ import annotations

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES
from application_sdk.wire.size import travelling_size
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import AppSpecRecord
from apprun_operator.plan.code_identity import remembered, template_of
from apprun_operator.plan.limits import APP_GRACE, CANCEL_GRACE, Limits
from apprun_operator.plan.pod import service_accounts
from apprun_operator.plan.pod.image_pinning import asked_for
from apprun_operator.plan.run.preconditions import Unresolved, checked


def resolve(seen: Observed, now: float, limits: Limits) -> JSONObject | Unresolved:
    """The app with which the run begins, or begins again after a stall, with the operator's defaults filled in."""
    run = seen.run
    size = travelling_size(run.input.decode())
    # guard: input-size - an input above the limit of an annotation fails each pod that is given it
    if size > MAX_PAYLOAD_BYTES:
        message = (
            f"spec.input is {size / 1024:,.1f} KiB of JSON, the limit is {MAX_PAYLOAD_BYTES // 1024} KiB, so no pod was"
            " started: put the data into a file, pass its FileReference, and start a new run"
        )
        return Unresolved("InvalidInput", message)
    if run.inline_app is None and run.app_ref and seen.app is not None:
        if seen.app.spec is None:
            message = f"this version of the operator can't read App {run.app_ref!r}: {seen.app.problem}"
            return Unresolved("Unreadable", message)
        unfit = checked(run, seen.app, now, limits)
        if unfit is not None:
            return unfit
    found = _named(seen, limits)
    if found is not None:
        account_refused = service_accounts.refused(found.get("serviceAccountName"), run.meta.key.namespace, limits)
        return Unresolved(service_accounts.NOT_ALLOWED, account_refused) if account_refused else found
    if not run.app_ref:
        return Unresolved("AppMissing", "the run names no app: give spec.appRef.name or spec.app")
    grace = run.meta.created + 1.0 + APP_GRACE
    message = (
        f"App {run.app_ref!r} doesn't exist in namespace {run.meta.key.namespace!r}: create it, or correct"
        " spec.appRef.name of this run"
    )
    return Unresolved("AppNotFound", message, grace if now < grace else None)


def changed(seen: Observed, limits: Limits) -> bool:
    """Whether a stalled run would begin differently today, or not at all: the App or the run's own spec was changed."""
    if seen.run.meta.generation != seen.run.observed_generation:
        return True
    found = _named(seen, limits)
    return found is not None and found != asked_for(seen.run.app)


def _named(seen: Observed, limits: Limits) -> JSONObject | None:
    """What the run names as its app, fit or not; None when there is nothing of that name, or nobody can read it."""
    run = seen.run
    if run.inline_app is not None:
        name = str(run.inline_app.template["entry"]).rpartition(":")[2]
        return template_of(run.inline_app, name, run.meta.generation, limits)
    if run.app_ref and seen.app is not None and seen.app.spec is not None:
        return template_of(seen.app.spec, run.app_ref, seen.app.meta.generation, limits)
    return None


def parallelism(seen: Observed, limits: Limits) -> int:
    """How many task pods the run may have at a time. Read anew in each pass, so that a change takes effect at once."""
    declared = _live_spec(seen).parallelism
    wanted = next(n for n in (seen.run.parallelism, declared, limits.parallelism) if n is not None)
    return min(wanted, limits.max_pods_per_run or wanted)


def cancel_grace(seen: Observed) -> float:
    """How many seconds the route of the cancelled run has to clean up."""
    declared = _live_spec(seen).cancel_grace
    return next(n for n in (seen.run.cancel_grace, declared, CANCEL_GRACE) if n is not None)


def ttl_seconds(seen: Observed) -> float | None:
    """How long after its end the run is kept; None for ever."""
    declared = _live_spec(seen).ttl_seconds
    return seen.run.ttl_seconds if seen.run.ttl_seconds is not None else declared


def _live_spec(seen: Observed) -> AppSpecRecord:
    """The App's spec of today; as it was when the run began, where the App is gone."""
    if seen.run.inline_app is not None:
        return seen.run.inline_app
    if seen.app is not None and seen.app.spec is not None:
        return seen.app.spec
    return remembered(seen.run.app or {})
