"""Exponential backoff with jitter, for whatever talks to the API server from a pod."""

from __future__ import annotations

import os
from typing import Final

_FIRST: Final = 0.05
_CAP: Final = 5.0
"""The longest delay: short, so that pods go on soon after an outage; the jitter spreads thousands
of them out."""


def _chance() -> float:
    # Not `random`: task pods would import it, and hashlib with it, for this alone.
    return int.from_bytes(os.urandom(4), "big") / 2**32


class Backoff:
    """Delays in seconds that double from `first` to `cap`, each shortened by chance to at least its
    half.

    So thousands of pods that lost the API server at once don't come back at once.
    """

    __slots__ = ("_cap", "_first", "_next")

    def __init__(self, first: float = _FIRST, cap: float = _CAP) -> None:
        self._first = first
        self._cap = cap
        self._next = first

    def delay(self, at_least: float = 0.0) -> float:
        """The next delay; `at_least` is what the server asked for."""
        full = self._next
        self._next = min(self._cap, full * 2)
        return max(at_least, full * (0.5 + _chance() / 2))

    def reset(self) -> None:
        """Start again with the first delay, after a success."""
        self._next = self._first
