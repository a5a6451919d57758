"""Times at which the next plan is due, in seconds since the epoch."""

from __future__ import annotations


def earliest(*times: float | None) -> float | None:
    """The earliest of these moments; None stands for never."""
    return min((time for time in times if time is not None), default=None)
