"""What is kept of an exception: enough for its author, bounded for the store."""

from __future__ import annotations

import pytest

from application_sdk.errors import NonRetryableError
from application_sdk.execution.error_info import MAX_MESSAGE_BYTES, MAX_TRACEBACK_BYTES, error_fields, is_retryable


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def mutual(depth: int) -> None:
    other(depth)


def other(depth: int) -> None:
    if depth:
        mutual(depth - 1)
    else:
        raise ValueError("at the bottom ü")


def test_causes_are_in_the_traceback() -> None:
    text = error_fields(raised(RuntimeError("outer"), KeyError("inner")))["traceback"]
    assert "KeyError: 'inner'" in text
    assert "direct cause" in text


def test_a_long_traceback_keeps_its_end() -> None:
    with pytest.raises(ValueError) as caught:
        mutual(300)
    text = error_fields(caught.value)["traceback"]
    assert text.startswith("[…]")
    assert text.endswith("ValueError: at the bottom ü\n")
    assert MAX_TRACEBACK_BYTES - 4 <= len(text.encode()) <= MAX_TRACEBACK_BYTES


def test_a_long_message_is_cut() -> None:
    message = error_fields(raised(ValueError("ü" * 100_000)))["message"]
    assert len(message.encode()) <= MAX_MESSAGE_BYTES


def test_text_that_utf8_cannot_hold_is_replaced() -> None:
    assert error_fields(raised(ValueError("a\ud800b")))["message"] == "a?b"


def test_an_exception_that_was_never_raised_has_no_frames() -> None:
    assert error_fields(ValueError("x"))["traceback"] == "ValueError: x\n"


class Permanent(Exception):
    retryable = False


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ValueError(), True),
        (NonRetryableError(), False),
        (Permanent(), False),
        (ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [Permanent()])]), False),
        (ExceptionGroup("g", [ValueError()]), True),
    ],
)
def test_an_error_class_may_say_that_a_retry_is_useless(error: BaseException, retryable: bool) -> None:
    assert is_retryable(error) is retryable
