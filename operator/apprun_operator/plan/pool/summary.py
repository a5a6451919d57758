"""The entries of an App's pools in its status, and when they are worth a write. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.workers import PoolObserved
from apprun_operator.plan.pool.pods import WarmPod

SOON: Final = 2.0
"""Seconds between two writes, at least."""
LATER: Final = 15.0
"""The same if nothing but the numbers of busy and idle pods has changed: a write for each call
would cost more than the call."""
LASTING: Final = ("name", "tasks", "size", "draining", "renewed")
"""Fields whose changes are written soon."""


def summary_of(
    observed: PoolObserved, pods: Sequence[WarmPod], tasks: Sequence[str], renewed: int
) -> JSONObject | None:
    """The entry of a pool; None if it has no pods."""
    present = [warm for warm in pods if warm.ended is None]
    if not present:
        return None
    draining = [warm for warm in present if warm.leaving]
    busy = [warm for warm in present if warm.calls and not warm.leaving]
    # A pod that doesn't run yet is neither: as idle, it would look like room for calls.
    idle = [warm for warm in present if warm.usable and not warm.calls]
    return {
        "name": observed.key.name.rpartition("/")[2],
        "tasks": list[JSON](tasks),
        "size": len(present),
        "busy": len(busy),
        "idle": len(idle),
        "draining": len(draining),
        "renewed": renewed,
    }


def is_due(written: Sequence[JSONObject], entries: Sequence[JSONObject], written_at: float, now: float) -> float | None:
    """When the App's status is to be written; None if it is up to date."""
    if list(written) == list(entries):
        return None
    lasting = [[entry.get(name) for name in LASTING] for entry in written]
    same = lasting == [[entry.get(name) for name in LASTING] for entry in entries]
    return max(written_at + (LATER if same else SOON), now)
