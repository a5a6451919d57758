"""Where an attempt's log lines go: logging and prints as lines of one kind, secrets masked, the last of them at hand.

Pods and the local engine's processes call `set_up` once, before any code of the app's runs. `print` and whatever else
writes to `sys.stdout` and `sys.stderr` becomes lines of their own source, so that a collector can tell the app's prints
from its logging, and both from AppRun's. What a program started by the app writes, or a C library, goes past Python: it
is in the log as it is.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TextIO

from typing_extensions import override

from application_sdk.execution.redaction import redacted
from application_sdk.wire import logs

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSON
    from application_sdk.wire.fields import LogFields

OWN_LOGGERS: Final = "apprun"
LONGEST_LINE: Final = 16 * 1024
"""Characters that are printed without an end of line, until they are a line all the same: container runtimes cut at
16 KiB as well."""
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PLAIN_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_USUAL: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "run_id"})
"""What every record has; `run_id` is the run, which every line has. The rest is what the app added with `extra`."""


class Tail:
    """The last lines, as people read them. Thread-safe."""

    def __init__(self, limit: int = logs.LOG_TAIL_BYTES) -> None:
        self._limit = limit
        self._lines: deque[str] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        with self._lock:
            self._lines.append(text)
            self._size += len(text)
            while self._size - len(self._lines[0]) > self._limit:
                self._size -= len(self._lines.popleft())

    def text(self) -> str:
        """What is kept, with secrets masked that became known only later."""
        with self._lock:
            whole = "\n".join(self._lines)
        return logs.tail(redacted(whole), self._limit)


class JsonFormatter(logging.Formatter):
    """Log records as lines of `wire.logs`, with what all lines of this process are about."""

    def __init__(self, context: Mapping[str, JSON]) -> None:
        super().__init__()
        self._context = context

    @override
    def format(self, record: logging.LogRecord) -> str:
        own = record.name.partition(".")[0] == OWN_LOGGERS
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        whole = logs.line(
            timestamp(record.created),
            record.levelname,
            record.name,
            logs.SOURCE_APPRUN if own else logs.SOURCE_APP,
            record.getMessage(),
            self._context,
            extra,
            _traceback(self, record),
        )
        return redacted(whole)


class PlainFormatter(logging.Formatter):
    """Log records for people."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class Printed(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr`: whole lines go on as log lines."""

    def __init__(self, stream: TextIO, source: str, context: Mapping[str, JSON] | None, tail: Tail) -> None:
        self._stream = stream
        self._source = source
        self._context = context
        self._tail = tail
        self._unfinished = ""
        self._lock = threading.RLock()

    @property
    @override
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has attributes where CPython has properties
        return self._stream.encoding

    @property
    @override
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    @property
    def buffer(self) -> io.BufferedIOBase | object:
        """For bytes, which go to the log as they are."""
        return self._stream.buffer

    @override
    def fileno(self) -> int:
        return self._stream.fileno()

    @override
    def writable(self) -> bool:
        return True

    @override
    def isatty(self) -> bool:
        return False

    @override
    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._unfinished = (self._unfinished + text).split("\n")
            if len(self._unfinished) > LONGEST_LINE:
                lines.append(self._unfinished)
                self._unfinished = ""
            for line in lines:
                self._write_line(line)
            if lines:
                self._stream.flush()
        return len(text)

    def finish(self) -> None:
        """Write what was printed last, without an end of line."""
        with self._lock:
            if self._unfinished:
                self.write("\n")
            self._stream.flush()

    def _write_line(self, line: str) -> None:
        printed = redacted(line)
        self._tail.add(printed)
        if self._context is not None:
            now = timestamp(time.time())
            printed = logs.line(now, "INFO", self._source, self._source, printed, self._context)
        self._stream.write(f"{printed}\n")


class _Handler(logging.StreamHandler[TextIO]):
    """To the real standard error, and the tail."""

    def __init__(self, stream: TextIO, tail: Tail) -> None:
        super().__init__(stream)
        self._tail = tail
        self._plain = PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
        self._plain.converter = time.gmtime

    @override
    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        try:
            self._tail.add(self._plain.format(record))
        except Exception:  # noqa: BLE001 - a record that can't be formatted: the stream's handler has told of it
            pass


class _Process:
    """There is one log per process, as there is one standard output."""

    tail = Tail()


def set_up(context: Mapping[str, JSON], *, as_json: bool, level: str = "INFO", tail: Tail | None = None) -> None:
    """Have logging and prints of this process become log lines, and keep the last of them for `kept_log`.

    With `as_json` one object a line, with `context`; else for people. A level that is none counts as INFO.
    """
    tail = _Process.tail = tail or Tail()
    out, err = sys.stdout, sys.stderr
    handler = _Handler(err, tail)
    handler.setFormatter(JsonFormatter(context) if as_json else PlainFormatter(PLAIN_FORMAT))
    logging.basicConfig(level=level if level in LEVELS else "INFO", handlers=[handler], force=True)
    shown = context if as_json else None
    sys.stdout = Printed(out, logs.SOURCE_STDOUT, shown, tail)
    sys.stderr = Printed(err, logs.SOURCE_STDERR, shown, tail)


def kept_log(attempt: int) -> LogFields:
    """The end of what this process has logged and printed so far, for the report of an attempt that failed."""
    return {"attempt": attempt, "tail": _Process.tail.text()}


def finish() -> None:
    """Write out all that is left: before a process ends at once."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Printed):
            stream.finish()
        else:
            stream.flush()


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds."""
    whole, fraction = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:06d}Z"


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)
