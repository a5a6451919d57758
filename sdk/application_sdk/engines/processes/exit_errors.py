"""The errors of attempts whose process ended without reporting an outcome."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import IO, Final

from application_sdk.engines.processes.executor_protocol import AttemptSpec
from application_sdk.wire import reasons
from application_sdk.wire.fields import ErrorFields

_LOG_TAIL_BYTES: Final = 4096
_WATCHDOG_LINE: Final = re.compile(r"^Timeout \(\d+:\d\d:\d\d[.\d]*\)!$", re.MULTILINE)


def exit_error(spec: AttemptSpec, code: int, log: Path | None = None) -> ErrorFields:
    """The error of an attempt by the exit code of its process, and by the end of `log`, which is the
    attempt's own if absent."""
    tail = _log_tail(log or spec.log)
    if code == 1 and _WATCHDOG_LINE.search(tail):
        limit = spec.info.policy.get("heartbeatTimeoutSeconds", 0)
        message = (
            f"no sign of life for {limit:g} s (heartbeat_timeout_seconds): the task blocks its event loop, or a sync "
            f"task gives no heartbeat. The traceback shows where it stood"
        )
        return error_fields(reasons.HEARTBEAT_LOST, message, tail)
    if code < 0:
        hint = " The kernel kills what uses too much memory this way." if code == -signal.SIGKILL else ""
        return error_fields(reasons.PROCESS_DIED, f"the task's process was ended, {describe_exit(code)}.{hint}", tail)
    if code == 0:
        message = "the task's process ended with exit code 0 and reported nothing: does it call sys.exit or os._exit?"
        return error_fields(reasons.NO_REPORT, message, tail)
    return error_fields(reasons.PROCESS_DIED, f"the task's process ended without a result, {describe_exit(code)}", tail)


def error_fields(error_type: str, message: str, traceback: str = "", *, retryable: bool = True) -> ErrorFields:
    error = ErrorFields(type=error_type, message=message, retryable=retryable)
    if traceback:
        error["traceback"] = traceback
    return error


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _log_tail(path: Path | None) -> str:
    """The last lines of a log, for the error of an attempt that reported no outcome."""
    if path is None:
        return ""
    try:
        with path.open("rb") as log:
            return read_tail(log)
    except OSError:
        return ""


def read_tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(size - _LOG_TAIL_BYTES, 0))
    content = log.read().decode("utf-8", "replace")
    return content if size <= _LOG_TAIL_BYTES else f"[…]\n{content.partition(chr(10))[2]}"
