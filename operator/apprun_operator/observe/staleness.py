"""How Apps and their runs affect one another.

Which parts of an App a run depends on, and when a run shows that the App's published contracts are
outdated.
"""

from __future__ import annotations

from typing import Final

from apprun_operator.observe import times
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.records import RunRecord

REFUSED_BY_CONTRACT: Final = ("InvalidInput", "EntrypointNotFound")
"""Reasons of runs that couldn't begin with the published contracts."""

CLOCK_SKEW: Final = 60.0
"""Seconds by which the clock of another replica, which wrote the time, may be ahead."""


def concerns_runs(app: AppRecord) -> tuple[object, ...]:
    """The parts of an App that runs which haven't begun, or are stalled, may depend on."""
    condition = app.condition("Inspected")
    return app.meta.uid, app.spec, app.problem, app.refuses_changes, app.inspect_request, app.inspection, condition


def stale_since(run: RunRecord | None, app: AppRecord, now: float) -> float:
    """When a run showed that an App's code may differ from the code that was inspected; 0 if it
    didn't.

    It shows that if the published contracts refuse it although a person thought it right, or if it
    has begun with other code. A time in the future is ignored: it would be newer than every
    inspection, and the App would be inspected without end.
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
        # It has called a task, which proves that the code can be imported by now.
        return began if run.app.get("sourceDigest") or run.app.get("imageDigest") else 0.0
    published = app.contracts
    image, source = (published.image_digest, published.source_digest) if published is not None else ("", "")
    moved = any(
        run.app.get(pin) not in (None, known or None)
        for pin, known in (("imageDigest", image), ("sourceDigest", source))
    )
    return began if moved and last.result == "Published" else 0.0
