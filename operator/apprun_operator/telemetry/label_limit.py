"""Limits how many apps have metric series of their own, since series are what monitoring costs.

A process gives the first apps that it sees labels of their own for as long as it lives, and all
others a shared one.
"""

from __future__ import annotations

from typing import Final

MAX_APPS: Final = 100
OTHERS: Final = "(other)"


class AppLabels:
    """Returns namespace and app as labels; `(other)` for both once the limit is reached."""

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
