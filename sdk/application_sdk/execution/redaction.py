"""Values that must never be told: what gives a secret to an app calls `hide`, what tells anything calls `redacted`.

One registry per process. Logs, prints, errors, progress and what a pod reports of its log pass through `redacted`;
inputs, outputs and heartbeat details don't, since they are data that the route or the next attempt needs as it is.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from application_sdk.execution.secret_forms import forms, lines, pattern

if TYPE_CHECKING:
    import re

    from application_sdk.wire.fields import ErrorFields

MASK: Final = "[redacted]"
"""What stands where a secret was."""


class Redactor:
    """Hides values in texts, in each form that `secret_forms` knows. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def hide(self, *values: str) -> None:
        """Mask these values from now on. To hide one again costs nothing."""
        with self._lock:
            known = len(self._forms)
            for value in values:
                self._forms |= forms(value) | lines(value)
            if len(self._forms) > known:
                self._pattern = None

    def redacted(self, text: str) -> str:
        """`text` with each hidden value masked."""
        found = self._pattern or self._compiled()
        return text if found is None else found.sub(MASK, text)

    def _compiled(self) -> re.Pattern[str] | None:
        # Only once something is to be told: many secrets often become known one after the other.
        with self._lock:
            if self._pattern is None and self._forms:
                self._pattern = pattern(self._forms)
            return self._pattern

    def clear(self) -> None:
        """Hide nothing any more. For tests."""
        with self._lock:
            self._forms.clear()
            self._pattern = None


_registry = Redactor()
hide = _registry.hide
redacted = _registry.redacted
clear = _registry.clear


def redacted_error(error: ErrorFields) -> ErrorFields:
    """An error whose texts may be told."""
    cleaned: ErrorFields = {**error, "type": redacted(error["type"]), "message": redacted(error["message"])}
    if "traceback" in error:
        cleaned["traceback"] = redacted(error["traceback"])
    return cleaned
