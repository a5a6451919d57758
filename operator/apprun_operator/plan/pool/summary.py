"""What an App's status says of its pools: an entry each, and when it is worth a write. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.observe.workers import PoolObserved
from apprun_operator.plan.pool.pods import WarmPod

SOON: Final = 2.0
"""Seconds between two writes at least."""
LATER: Final = 15.0
"""The same where only pods became busy or idle: a write for each call would cost more than the call."""
LASTING: Final = ("name", "tasks", "size", "draining", "renewed")


def summary_of(
    observed: PoolObserved, pods: Sequence[WarmPod], tasks: Sequence[str], renewed: int
) -> JSONObject | None:
    """The entry of one pool; None for one without pods."""
    present = [warm for warm in pods if warm.ended is None]
    if not present:
        return None
    draining = [warm for warm in present if warm.leaving]
    busy = [warm for warm in present if warm.calls and not warm.leaving]
    return {
        "name": observed.key.name.rpartition("/")[2],
        "tasks": list[JSON](tasks),
        "size": len(present),
        "busy": len(busy),
        "idle": len(present) - len(busy) - len(draining),
        "draining": len(draining),
        "renewed": renewed,
    }


def is_due(written: Sequence[JSONObject], wanted: Sequence[JSONObject], written_at: float, now: float) -> float | None:
    """When the App's status is to be written; None where it says all of it."""
    if list(written) == list(wanted):
        return None
    lasting = [[entry.get(name) for name in LASTING] for entry in written]
    same = lasting == [[entry.get(name) for name in LASTING] for entry in wanted]
    return max(written_at + (LATER if same else SOON), now)
