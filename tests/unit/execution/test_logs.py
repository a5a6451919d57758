"""Lines of one kind from everything that a process writes, and the end of them at hand."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application_sdk.execution import redaction
from application_sdk.execution.logs import LONGEST_LINE, JsonFormatter, Printed, Tail
from application_sdk.wire import logs
from application_sdk.wire.digest import JSONObject

CONTEXT: JSONObject = {"run": "daily", "attempt": 1}


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    redaction.clear()
    yield
    redaction.clear()


def record(message: str, *args: object, name: str = "shop", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.INFO, "app.py", 1, message, args, None)
    vars(made).update(extra)
    return made


def formatted(made: logging.LogRecord) -> JSONObject:
    line: JSONObject = json.loads(JsonFormatter(CONTEXT).format(made))
    return line


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    line = JsonFormatter(CONTEXT).format(record("two\nlines"))
    assert "\n" not in line
    assert json.loads(line)["message"] == "two\nlines"


def test_a_line_tells_the_app_from_its_runtime() -> None:
    assert formatted(record("x", name="shop.prices"))["source"] == "app"
    assert formatted(record("x", name="apprun.report"))["source"] == "apprun"
    assert formatted(record("x", name="apprunner"))["source"] == "app"


def test_what_the_app_adds_takes_no_name_of_ours() -> None:
    line = formatted(record("x", customer="ada", run="forged", level="forged", run_id="daily"))
    assert (line["customer"], line["run"], line["level"]) == ("ada", "daily", "INFO")
    assert "run_id" not in line


def test_what_has_no_json_is_written_as_text() -> None:
    assert formatted(record("x", thing={1, 2}))["thing"] == "{1, 2}"


def test_an_error_brings_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        made = record("failed")
        made.exc_info = (type(error), error, error.__traceback__)
    trace = formatted(made)["traceback"]
    assert isinstance(trace, str)
    assert trace.endswith("ValueError: no")


def test_secrets_are_masked_in_all_of_a_line() -> None:
    redaction.hide("correct-horse")
    line = JsonFormatter(CONTEXT).format(record("password %s", "correct-horse", header="Bearer correct-horse"))
    assert "correct-horse" not in line
    assert line.count("[redacted]") == 2


def printed(*pieces: str, context: JSONObject | None = CONTEXT) -> tuple[str, Tail]:
    stream, tail = io.StringIO(), Tail()
    out = Printed(stream, logs.SOURCE_STDOUT, context, tail)
    for piece in pieces:
        print(piece, end="", file=out)
    out.finish()
    return stream.getvalue(), tail


def test_what_is_printed_in_pieces_is_one_line() -> None:
    text, tail = printed("a", "b", "\nc\n", "d")
    assert [json.loads(line)["message"] for line in text.splitlines()] == ["ab", "c", "d"]
    assert tail.text() == "ab\nc\nd"


def test_a_secret_printed_in_pieces_is_masked() -> None:
    redaction.hide("correct-horse")
    text, tail = printed("correct", "-horse", "\n", context=None)
    assert text == "[redacted]\n"
    assert tail.text() == "[redacted]"


def test_a_line_without_an_end_takes_no_memory_without_end() -> None:
    text, _ = printed(*["x" * 1000] * 40)
    assert all(len(json.loads(line)["message"]) <= LONGEST_LINE + 1000 for line in text.splitlines())
    assert len(text.splitlines()) == 3


def test_the_tail_masks_what_was_no_secret_yet_when_it_was_told() -> None:
    tail = Tail()
    tail.add("token is correct-horse")
    redaction.hide("correct-horse")
    assert tail.text() == "token is [redacted]"


def test_the_tail_keeps_whole_lines() -> None:
    tail = Tail(100)
    for number in range(50):
        tail.add(f"line {number}")
    assert tail.text().splitlines()[0].startswith("line ")
    assert tail.text().endswith("line 49")
    assert len(tail.text()) <= 100


def test_one_line_that_is_too_long_is_cut_at_its_beginning() -> None:
    tail = Tail(100)
    tail.add("x" * 500 + "the end")
    assert tail.text().endswith("the end")
    assert len(tail.text()) == 100


@given(st.text(max_size=400), st.integers(1, 300))
def test_a_tail_is_the_end_and_no_longer_than_its_limit(text: str, limit: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    kept = logs.tail(text, limit)
    assert len(kept.encode()) <= limit
    assert text.endswith(kept)


def test_lines_read_by_people_leave_out_what_they_know() -> None:
    line = logs.line("2026-01-15T08:00:00.000000Z", "INFO", "shop", "app", "hello", CONTEXT)
    said = logs.line("2026-01-15T08:00:00.000000Z", "INFO", "stdout", "stdout", "printed", CONTEXT)
    text = "\n".join([line, said, "raw", '{"other": "json"}', "{no json"])
    assert logs.plain(text) == '08:00:00 INFO shop: hello\nprinted\nraw\n{"other": "json"}\n{no json'
