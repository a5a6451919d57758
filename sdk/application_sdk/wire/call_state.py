"""The state of a call, as the command line and the metrics show it: from its AppTask and the pod of its attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

CallState: TypeAlias = Literal[
    "Queued", "Starting", "Running", "Waiting", "Retrying", "Sleeping", "Succeeded", "Failed", "Cancelled"
]
"""`Queued`: no pod yet. `Starting`: the pod doesn't run yet. `Waiting`: the pod can't start, the message says why.
`Retrying`: an attempt failed and the next one isn't due yet. `Sleeping`: a timer."""
PodState: TypeAlias = Literal["absent", "starting", "started"]
"""Of the current attempt's pod. `started` includes a pod that has ended: its attempt runs until it is decided."""

_COMMITTED: Final[Mapping[str, CallState]] = {"Succeeded": "Succeeded", "Failed": "Failed", "Cancelled": "Cancelled"}


def call_state(phase: str, role: str, pod: PodState, *, backing_off: bool = False) -> CallState:
    """Derive the state of a call.

    Args:
        phase: `status.phase` of the AppTask; empty counts as `Active`.
        role: `spec.role` of the AppTask.
        pod: the pod of the current attempt.
        backing_off: the next attempt may not begin yet. Only looked at while the pod is absent.
    """
    if phase in _COMMITTED:
        return _COMMITTED[phase]
    if role == "timer":
        return "Sleeping"
    if phase == "Waiting":
        return "Waiting"
    if pod == "absent":
        return "Retrying" if backing_off else "Queued"
    return "Starting" if pod == "starting" else "Running"
