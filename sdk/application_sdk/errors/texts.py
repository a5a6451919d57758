"""Exceptions as texts that may be shown: without secrets, and cut to a readable length."""

from __future__ import annotations

import re
import traceback
from typing import Final

CAUSE_LENGTH: Final = 500
TRACEBACK_LENGTH: Final = 8000
_MASK: Final = "***"

_IN_URL: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s?#]+@")
_NAMED: Final = re.compile(
    r"""(?ix) \b ([\w-]*(?:api[_-]?key|token|passw(?:or)?d|pwd|secret|credential|private[_-]?key))
    (["']?\s*[=:]\s*) ("[^"]*"|'[^']*'|\{[^}]*\}|[^\s,;&"']+)"""
)
_AUTHORIZATION: Final = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")


def redact_secrets(text: str) -> str:
    """`text` without passwords in URLs, values of parameters that are named like secrets, and
    tokens of an Authorization header. Secrets that tasks were given are masked in records of
    failures whatever they look like."""
    text = _IN_URL.sub(rf"\1{_MASK}@", text)
    text = _AUTHORIZATION.sub(rf"\1 {_MASK}", text)
    return _NAMED.sub(rf"\1\2{_MASK}", text)


def sanitize_cause_repr(exc: BaseException) -> str:
    """Type and message of an exception in one line, without secrets."""
    text = redact_secrets(f"{type(exc).__name__}: {exc}")
    return text if len(text) <= CAUSE_LENGTH else f"{text[: CAUSE_LENGTH - 1]}…"


def safe_traceback(exc: BaseException | None, max_len: int = TRACEBACK_LENGTH) -> str:
    """The traceback as Python prints it, without secrets; the end of it if it is longer than
    `max_len` characters."""
    if exc is None:
        return ""
    text = redact_secrets("".join(traceback.format_exception(exc)))
    return text if len(text) <= max_len else f"…{text[len(text) - max_len + 1 :]}"
