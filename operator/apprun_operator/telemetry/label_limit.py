"""Which values the labels of a figure may have: as many apps as were agreed on, then no more.

Series are what a monitoring system pays for. A process tells of the first apps that it sees by name, for as long as it
lives, and of all others together.
"""

from __future__ import annotations

from typing import Final

MAX_APPS: Final = 100
OTHERS: Final = "(other)"


class AppLabels:
    """Gives namespace and app as labels. What isn't told apart any more has `(other)` for both."""

    def __init__(self, most: int = MAX_APPS) -> None:
        self._most = most
        self._known: set[tuple[str, str]] = set()

    def of(self, namespace: str, app: str) -> tuple[str, str]:
        pair = (namespace, app)
        if pair in self._known:
            return pair
        if len(self._known) >= self._most:
            return OTHERS, OTHERS
        self._known.add(pair)
        return pair
