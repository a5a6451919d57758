"""What Apps and their runs tell one another: what of an App a run may depend on, and when a run says that an App is
published as something else than it is by now."""

from __future__ import annotations

from typing import Final

from apprun_operator.observe import times
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.records import RunRecord

REFUSED_BY_CONTRACT: Final = ("InvalidInput", "EntrypointNotFound")
"""Reasons of runs that couldn't begin with what is published."""

CLOCK_SKEW: Final = 60.0
"""By so much the clock of another replica, which wrote the time, may be ahead."""


def concerns_runs(app: AppRecord) -> tuple[object, ...]:
    """What runs that haven't begun, or are stalled, may depend on."""
    condition = app.condition("Inspected")
    return app.meta.uid, app.spec, app.problem, app.refuses_changes, app.inspect_request, app.inspection, condition


def stale_since(run: RunRecord | None, app: AppRecord, now: float) -> float:
    """When a run gave reason to think that an App's code is another than the one that was inspected: it was refused by
    what is published, though somebody thought it right; or it has begun with other code. 0 when it didn't.

    A moment that is still to come is none: it would be newer than each inspection, and have the App inspected for ever.
    """
    moment = _stale_since(run, app)
    return moment if 0.0 < moment <= now + CLOCK_SKEW else 0.0


def _stale_since(run: RunRecord | None, app: AppRecord) -> float:
    last = app.inspection
    if run is None or last is None:
        return 0.0
    if run.app is None:
        stalled = run.condition("Stalled")
        refused = stalled is not None and stalled.status == "True" and stalled.reason in REFUSED_BY_CONTRACT
        return times.parse_or(stalled.since, 0.0) if stalled is not None and refused else 0.0
    began = run.started_at or 0.0
    if run.app.get("generation") != app.meta.generation or began <= last.at:
        return 0.0
    if last.result == "Failed":
        # That it has called a task proves that the code can be imported by now.
        return began if run.app.get("sourceDigest") or run.app.get("imageDigest") else 0.0
    published = app.contracts
    image, source = (published.image_digest, published.source_digest) if published is not None else ("", "")
    moved = any(
        run.app.get(pin) not in (None, known or None)
        for pin, known in (("imageDigest", image), ("sourceDigest", source))
    )
    return began if moved and last.result == "Published" else 0.0
