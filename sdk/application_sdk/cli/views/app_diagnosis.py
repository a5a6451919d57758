"""Explains in sentences whether an App is ready, and what its warm pods are doing. Pure."""

from __future__ import annotations

from application_sdk.cli.sources.records import DeployedApp
from application_sdk.cli.views.diagnosis import Finding
from application_sdk.cli.views.pools import sentence
from application_sdk.cli.views.reason_help import of_app


def explain_app(app: DeployedApp) -> list[Finding]:
    """Returns the findings on an App: its readiness first, then a finding for each pool."""
    return [_readiness(app), *(Finding("fine", sentence(pool)) for pool in app.pools)]


def _readiness(app: DeployedApp) -> Finding:
    if app.is_ready:
        return Finding("fine", f"The App is ready{f': {app.message}' if app.message else ''}.")
    if not app.reason:
        remedy = "`apprun doctor` says whether an operator is at work."
        return Finding("waiting", "No operator has looked at the App yet.", "", remedy)
    known = of_app(app.reason)
    what = f"The App isn't ready, {app.reason}: {app.message}"
    cause = "" if known is None else known.cause
    remedy = "" if known is None else known.action.replace("{app}", app.name)
    return Finding("waiting" if app.is_ready is None else "problem", what, cause, remedy)
