"""Values that must never be told: what gives a secret to an app calls `hide`, what tells anything calls `redacted`.

One registry per process. Logs, prints, errors, progress and what a pod reports of its log pass through `redacted`;
inputs, outputs and heartbeat details don't, since they are data that the route or the next attempt needs as it is.
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from application_sdk.wire.fields import ErrorFields

MASK: Final = "[redacted]"
"""What stands where a secret was."""
SHORTEST: Final = 4
"""Shorter values aren't hidden: to mask each `1` would make logs useless, and hide nothing."""
SHORTEST_PART: Final = 8
"""The same for a line of a value of several lines, and for a value inside of base64."""


class Redactor:
    """Hides values in texts, in each form in which they are commonly written. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def hide(self, *values: str) -> None:
        """Mask these values from now on. To hide one again costs nothing."""
        with self._lock:
            known = len(self._forms)
            for value in values:
                self._forms.update(_forms(value))
            if len(self._forms) > known:
                # The longest first: a password that begins like another must not leave its rest.
                forms = sorted(self._forms, key=lambda form: (-len(form), form))
                self._pattern = re.compile("|".join(map(re.escape, forms)))

    def redacted(self, text: str) -> str:
        """`text` with each hidden value masked."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)

    def forget(self) -> None:
        """Hide nothing any more. For tests."""
        with self._lock:
            self._forms.clear()
            self._pattern = None


_registry = Redactor()
hide = _registry.hide
redacted = _registry.redacted
forget = _registry.forget


def redacted_error(error: ErrorFields) -> ErrorFields:
    """An error whose texts may be told."""
    cleaned: ErrorFields = {**error, "type": redacted(error["type"]), "message": redacted(error["message"])}
    if "traceback" in error:
        cleaned["traceback"] = redacted(error["traceback"])
    return cleaned


def _forms(value: str) -> Iterator[str]:
    """The value as it is, without its surrounding space, line by line, escaped, and encoded."""
    bare = value.strip()
    if len(bare) < SHORTEST:
        return
    for form in {value, bare}:
        yield form
        yield json.dumps(form)[1:-1]
        yield json.dumps(form, ensure_ascii=False)[1:-1]
        yield repr(form)[1:-1]
    yield from (line for line in map(str.strip, bare.splitlines()) if len(line) >= SHORTEST_PART)
    yield _in_address(bare)
    yield from _in_base64(bare.encode("utf-8", "surrogatepass"))


def _in_address(value: str) -> str:
    """As in a URL, where passwords are often put."""
    if value.isascii() and value.isalnum():
        return value
    from urllib.parse import quote

    return quote(value, safe="", errors="replace")


def _in_base64(value: bytes) -> Iterator[str]:
    """As part of something that is encoded whole, such as `user:password` in a header: three ways for it to be placed,
    without the digits at both ends that depend on its neighbours."""
    from binascii import b2a_base64

    for before in range(3):
        encoded = b2a_base64(bytes(before) + value, newline=False).decode().rstrip("=")
        first, spare = (0, 2, 3)[before], (before + len(value)) % 3
        inner = encoded[first : len(encoded) - bool(spare)]
        if len(inner) >= SHORTEST_PART:
            yield inner
            yield inner.translate({ord("+"): "-", ord("/"): "_"})
