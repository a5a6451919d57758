"""Converts Kubernetes timestamps to seconds since the epoch and back.

Pure: time is always an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

LAST_SECOND: Final = 253_402_300_799.0
"""The end of the year 9999, and of RFC 3339."""


def parse(text: str) -> float:
    """Parse an RFC 3339 timestamp to seconds since the epoch. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no time zone")
    return moment.timestamp()


def parse_or(text: object, default: float) -> float:
    """Parse a timestamp that anybody may have written; `default` for anything else."""
    try:
        return parse(text) if isinstance(text, str) else default
    except (ValueError, OverflowError):
        # guard: foreign-time-parsed - anybody who may write a condition would stop the reading of
        # its object
        return default


def rfc3339(seconds: float) -> str:
    """Format as RFC 3339 in UTC with microseconds, so that times of one run can be compared.

    A time outside of its range, which numbers written by users can cause, becomes the nearest one
    inside.
    """
    # guard: time-in-calendar - a time beyond year 9999 raises in datetime, and would stop the plan
    # of every pass
    return datetime.fromtimestamp(min(max(seconds, 0.0), LAST_SECOND), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
