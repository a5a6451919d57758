"""An AppRun's app to the `status.app` that the run begins with, or to what a person has to correct
first."""

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


def resolve(observed: Observed, now: float, limits: Limits) -> JSONObject | Unresolved:
    """The app with which the run begins, or begins again after a stall, with the operator's
    defaults filled in."""
    run = observed.run
    size = travelling_size(run.input.decode())
    # guard: input-size - an input above the limit of an annotation fails each pod that is given it
    if size > MAX_PAYLOAD_BYTES:
        message = (
            f"spec.input is {size / 1024:,.1f} KiB of JSON, the limit is {MAX_PAYLOAD_BYTES // 1024} KiB, so no pod was"
            " started: put the data into a file, pass its FileReference, and start a new run"
        )
        return Unresolved("InvalidInput", message)
    if run.inline_app is None and run.app_ref and observed.app is not None:
        if observed.app.spec is None:
            message = f"this version of the operator can't read App {run.app_ref!r}: {observed.app.problem}"
            return Unresolved("Unreadable", message)
        problem = checked(run, observed.app, now, limits)
        if problem is not None:
            return problem
    app = _named(observed, limits)
    if app is not None:
        account_problem = service_accounts.forbidden_account(
            app.get("serviceAccountName"), run.meta.key.namespace, limits
        )
        return Unresolved(service_accounts.NOT_ALLOWED, account_problem) if account_problem else app
    if not run.app_ref:
        return Unresolved("AppMissing", "the run names no app: give spec.appRef.name or spec.app")
    grace = run.meta.created + 1.0 + APP_GRACE
    message = (
        f"App {run.app_ref!r} doesn't exist in namespace {run.meta.key.namespace!r}: create it, or correct"
        " spec.appRef.name of this run"
    )
    return Unresolved("AppNotFound", message, grace if now < grace else None)


def changed(observed: Observed, limits: Limits) -> bool:
    """Whether a stalled run would begin differently today, or not at all: the App or the run's own
    spec was changed."""
    if observed.run.meta.generation != observed.run.observed_generation:
        return True
    app = _named(observed, limits)
    return app is not None and app != asked_for(observed.run.app)


def _named(observed: Observed, limits: Limits) -> JSONObject | None:
    """What the run names as its app, fit or not; None when there is nothing of that name, or nobody
    can read it."""
    run = observed.run
    if run.inline_app is not None:
        name = str(run.inline_app.template["entry"]).rpartition(":")[2]
        return template_of(run.inline_app, name, run.meta.generation, limits)
    if run.app_ref and observed.app is not None and observed.app.spec is not None:
        return template_of(observed.app.spec, run.app_ref, observed.app.meta.generation, limits)
    return None


def parallelism(observed: Observed, limits: Limits) -> int:
    """How many task pods the run may have at a time. Each pass reads it again, so a change takes
    effect at once."""
    declared = _live_spec(observed).parallelism
    limit = next(n for n in (observed.run.parallelism, declared, limits.parallelism) if n is not None)
    return min(limit, limits.max_pods_per_run or limit)


def cancel_grace(observed: Observed) -> float:
    """How many seconds the route of the cancelled run has to clean up."""
    declared = _live_spec(observed).cancel_grace
    return next(n for n in (observed.run.cancel_grace, declared, CANCEL_GRACE) if n is not None)


def ttl_seconds(observed: Observed) -> float | None:
    """Seconds after its end for which the run is kept; None for no limit."""
    declared = _live_spec(observed).ttl_seconds
    return observed.run.ttl_seconds if observed.run.ttl_seconds is not None else declared


def _live_spec(observed: Observed) -> AppSpecRecord:
    """The App's spec of today; as it was when the run began, where the App is gone."""
    if observed.run.inline_app is not None:
        return observed.run.inline_app
    if observed.app is not None and observed.app.spec is not None:
        return observed.app.spec
    return remembered(observed.run.app or {})
