"""Kubernetes timestamps to seconds since the epoch and back. Pure: the time itself is always an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

LAST_SECOND: Final = 253_402_300_799.0
"""The end of the year 9999, and of RFC 3339."""


def parse(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 timestamp. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no time zone")
    return moment.timestamp()


def parse_or(text: object, default: float) -> float:
    """The same of what anybody may have written: anything else is `default`."""
    try:
        return parse(text) if isinstance(text, str) else default
    except (ValueError, OverflowError):
        # guard: foreign-time-parsed - anybody who may write a condition would stop the reading of its object
        return default


def rfc3339(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds, so that times of one run can be compared. Moments that it has no words for
    become the nearest that it has: they come out of numbers that users write."""
    # guard: time-in-calendar - a time beyond year 9999 raises in datetime, and would stop the plan of every pass
    return datetime.fromtimestamp(min(max(seconds, 0.0), LAST_SECOND), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
