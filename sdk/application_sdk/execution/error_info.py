"""From an exception of user code to data: type, message, traceback, and whether trying again may help.

`attempt.attempt` and whatever loads an app call it. It decides on no attempts and no budgets.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from application_sdk.errors import AppError, RetryableError
from application_sdk.execution.redaction import redacted
from application_sdk.wire.fields import MAX_SECONDS, ErrorFields

if TYPE_CHECKING:
    from collections.abc import Collection
    from traceback import FrameSummary, StackSummary, TracebackException

MAX_TRACEBACK_BYTES: Final = 8 * 1024
MAX_MESSAGE_BYTES: Final = 8 * 1024

_CUT: Final = "[…]\n"
_MACHINERY: Final = (
    str(Path(__file__).parent.parent) + os.sep,
    str(Path(asyncio.__file__).parent) + os.sep,
    str(Path(importlib.__file__).parent) + os.sep,
    "<frozen importlib",
    "<frozen runpy",
)
"""Files whose frames tell a user nothing: this SDK, the event loop, the import system."""


def error_fields(error: BaseException, permanent: Collection[str] = ()) -> ErrorFields:
    """What is kept of an exception, without the secrets in its texts. `permanent` names classes that the task declared
    not worth a retry."""
    fields = ErrorFields(
        type=type(error).__name__,
        message=_tail(redacted(_text_of(error)), MAX_MESSAGE_BYTES),
        traceback=traceback_text(error),
        retryable=is_retryable(error, permanent),
    )
    after = _retry_after(error)
    if after is not None and fields["retryable"]:
        fields["retryAfterSeconds"] = min(after, MAX_SECONDS)
    return fields


def _retry_after(error: BaseException) -> float | None:
    """The wait that an error asks for; of a group the longest, since all that failed is done again."""
    if isinstance(error, BaseExceptionGroup):
        return max((after for member in error.exceptions if (after := _retry_after(member)) is not None), default=None)
    if not isinstance(error, AppError):
        return None
    # RateLimitedError has it as evidence; its class is loaded only where an app uses it.
    name = "after" if isinstance(error, RetryableError) else "retry_after_seconds"
    named: object = getattr(error, name, None)
    # An app may have set anything, and what travels has to be a time: else the policy's own wait holds.
    if isinstance(named, bool) or not isinstance(named, int | float):
        return None
    return float(named) if 0 <= named < math.inf else None


def is_retryable(error: BaseException, permanent: Collection[str] = ()) -> bool:
    """Whether another attempt may end otherwise. A group is permanent as soon as one error in it is.

    An error class says so itself with an attribute `retryable = False`, as the contracts' errors do; an AppError
    also with `default_retryable`.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_retryable(member, permanent) for member in error.exceptions)
    if isinstance(error, AppError):
        if not error.effective_retryable:
            return False
    elif getattr(error, "retryable", True) is False:
        return False
    return not any(base.__name__ in permanent for base in type(error).__mro__)


def traceback_text(error: BaseException) -> str:
    """The traceback as Python prints it, with causes, but only the frames of user code; the end of it if it is long."""
    from traceback import TracebackException

    rendered = TracebackException.from_exception(error)
    _keep_user_frames(rendered, set())
    try:
        text = "".join(rendered.format())
    except Exception:  # noqa: BLE001 - a broken __str__ or __notes__ of the user's must not hide that the task failed
        text = f"{type(error).__name__}: (its text can't be made)\n"
    return _tail(redacted(text), MAX_TRACEBACK_BYTES)


def _keep_user_frames(rendered: TracebackException, seen: set[int]) -> None:
    if id(rendered) in seen:
        return
    seen.add(id(rendered))
    rendered.stack[:] = _user_frames(rendered.stack)
    linked = [rendered.__cause__, rendered.__context__, *(rendered.exceptions or ())]
    for other in linked:
        if other is not None:
            _keep_user_frames(other, seen)


def _user_frames(stack: StackSummary) -> list[FrameSummary]:
    return [frame for frame in stack if not frame.filename.startswith(_MACHINERY)]


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
        action: object = getattr(error, "suggested_action", None)
        return f"{text} ({action})" if action and isinstance(error, AppError) else text
    except Exception:  # noqa: BLE001 - a broken __str__ of the user's
        return "(the exception's own text can't be made: its __str__ fails)"


def _tail(text: str, limit: int) -> str:
    content = text.encode("utf-8", "replace")
    if len(content) <= limit:
        return content.decode("utf-8")
    return _CUT + content[len(_CUT.encode()) - limit :].decode("utf-8", "ignore")
