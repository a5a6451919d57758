"""The executor with a process for each attempt: a task that crashes, exits or is killed loses an attempt, nothing else.

Attempts are forked from a `forker` that has the app imported. When that process is killed, its attempts are lost and
another takes its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

from application_sdk.engines.processes.executor_protocol import (
    AppNotForkable,
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    ExecutorEvent,
)
from application_sdk.engines.processes.fork_server import FORK_REQUEST
from application_sdk.engines.processes.framing import Inbox, send
from application_sdk.engines.processes.source import AppSource
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields, StateWrite

_LOG_TAIL_BYTES: Final = 4096
_WATCHDOG_LINE: Final = re.compile(r"^Timeout \(\d+:\d\d:\d\d[.\d]*\)!$", re.MULTILINE)
_MAX_FALSE_STARTS: Final = 3
_END_SECONDS: Final = 5.0


@dataclasses.dataclass(slots=True)
class _Running:
    """An attempt under way. `pid` is 0 until it is forked; the channel is open until its outcome or end is known."""

    work: AttemptSpec
    number: int
    channel: socket.socket
    inbox: Inbox
    pid: int = 0
    exit_code: int | None = None
    cancelled: bool = False
    unreached: bool = False
    """Whether the process was gone before it could be given its work."""


@dataclasses.dataclass(slots=True)
class _Spare:
    """A process that was forked ahead of the attempt that it will be for. `pid` is 0 until it is there."""

    number: int
    channel: socket.socket
    pid: int = 0


class ProcessExecutor:
    """Forks attempts of one app.

    Args:
        app: Where the app's code is.
        forker: The module that is the program of the process that attempts are forked from.
        environment: That of the process; this one's when absent.
        ahead: Whether a process waits for the next attempt, so that it begins without the wait for its fork.
        own_log: Whether what the process itself prints is kept for the error that tells of its end. Otherwise it goes
            where this process prints, and so does what attempts without a log print.
    """

    def __init__(
        self,
        app: AppSource,
        forker: str,
        environment: Mapping[str, str] | None = None,
        *,
        ahead: bool = False,
        own_log: bool = True,
    ) -> None:
        self._app = app
        self._module = forker
        self._environment = environment
        # What the forker prints while it imports the app: of use only when it doesn't survive that.
        self._log = tempfile.TemporaryFile() if own_log else None  # noqa: SIM115 - closed in `close`
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        # Not closed by `close`: another thread may be about to wake this executor, and would write into whatever has
        # got the same descriptor by then, such as a connection to the API server.
        weakref.finalize(self, os.close, self._wake_writer)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._by_number: dict[int, _Running] = {}
        self._by_key: dict[str, _Running] = {}
        self._numbers = 0
        self._ahead = ahead
        self._spare: _Spare | None = None
        self._begun: list[ExecutorEvent] = []
        self._false_starts = 0
        self._told_reason = False
        self._forker: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lines = b""
        # Importing the app takes a while: it may as well begin now.
        self._start_forker()
        self._fork_ahead()

    # The Executor

    def start(self, work: AttemptSpec) -> None:
        if self._control is None:
            self._start_forker()
        spare, self._spare = self._spare or self._fork(), None
        running = _Running(work, spare.number, spare.channel, Inbox(), spare.pid)
        self._by_number[running.number] = self._by_key[work.key] = running
        self._selector.register(running.channel, selectors.EVENT_READ, running)
        if running.pid:
            self._hand_over(running)
            self._begun.append(AttemptBegun(work.key))
        self._fork_ahead()

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        events, self._begun = self._begun, []
        deadline = time.monotonic() + seconds
        while not events:
            left = deadline - time.monotonic()
            woken = False
            for key, _ in self._selector.select(max(left, 0)):
                if key.fileobj == self._wake_reader:
                    os.read(self._wake_reader, 4096)
                    woken = True
                elif key.fileobj is self._control:
                    self._hear_forker(events)
                elif key.data.number in self._by_number:  # It may just have been lost with its forker.
                    self._hear_attempt(key.data, events)
            if woken or left <= 0:
                break
        return events

    def cancel(self, key: str) -> None:
        running = self._by_key.get(key)
        if running is not None and not running.cancelled:
            running.cancelled = True
            if running.pid:
                self._say(running, {"cancel": True})

    def kill(self, key: str) -> None:
        running = self._by_key.get(key)
        if running is None:
            return
        # guard: unforked-attempt-ends - a fork server that hangs in the app's import never starts the process
        if not running.pid:
            # Without its channel the process that may still be forked for it has no work, and ends by itself.
            self._discard(running)
            self._begun.append(AttemptEnded(key))
            return
        _kill_group(running.pid)

    def wake(self) -> None:
        # The pipe is full of wakes already, or nobody waits any more.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._wake_writer, b"!")

    def close(self) -> None:
        forker, control = self._forker, self._control
        if control is not None:
            self._selector.unregister(control)
            control.close()
        self._drop_spare()
        for running in list(self._by_number.values()):
            self._discard(running)
        if forker is not None:
            # It ends when its socket closes, and kills its children first.
            try:
                forker.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                forker.kill()
                forker.wait()
        self._forker = self._control = None
        if self._log is not None:
            self._log.close()
        self._selector.close()
        os.close(self._wake_reader)

    # The forker

    def _fork(self) -> _Spare:
        """Ask for a process. It waits for its work."""
        ours, theirs = socket.socketpair()
        self._numbers += 1
        with contextlib.suppress(OSError):  # The forker is gone: `wait` sees it, and that this attempt is lost.
            socket.send_fds(cast("socket.socket", self._control), [FORK_REQUEST.pack(self._numbers)], [theirs.fileno()])
        theirs.close()
        return _Spare(self._numbers, ours)

    def _fork_ahead(self) -> None:
        if self._ahead and self._spare is None:
            self._spare = self._fork()

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare.channel.close()
            self._spare = None

    def _start_forker(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", self._module]
        self._forker = subprocess.Popen(
            [*command, str(theirs.fileno()), self._app.entry, self._app.directory],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env=self._environment,
            # Ctrl-C in the terminal is for the engine alone: it decides how attempts end.
            start_new_session=True,
        )
        theirs.close()
        self._control = ours
        self._lines = b""
        self._selector.register(ours, selectors.EVENT_READ)

    def _hear_forker(self, events: list[ExecutorEvent]) -> None:
        try:
            content = cast("socket.socket", self._control).recv(65536)
        except ConnectionError:
            content = b""
        if not content:
            self._lose_forker(events)
            return
        *lines, self._lines = (self._lines + content).split(b"\n")
        for line in lines:
            word, *numbers = line.decode().split()
            if word == "ready":
                self._false_starts = 0
                if numbers and not self._told_reason:
                    self._told_reason = True
                    events.append(AppNotForkable(" ".join(numbers)))
                continue
            running = self._by_number.get(int(numbers[0]))
            if running is None:
                self._hear_of_spare(word, *map(int, numbers))
                continue
            if word == "started":
                running.pid = int(numbers[1])
                self._hand_over(running)
                events.append(AttemptBegun(running.work.key))
            else:
                running.exit_code = int(numbers[1])
                self._end_without_outcome(running, events)

    def _hear_of_spare(self, word: str, number: int, value: int) -> None:
        if self._spare is None or self._spare.number != number:
            return
        if word == "started":
            self._spare.pid = value
        else:
            self._drop_spare()  # Somebody ended it: the next attempt asks for another one.

    def _lose_forker(self, events: list[ExecutorEvent]) -> None:
        control, forker = cast("socket.socket", self._control), cast("subprocess.Popen[bytes]", self._forker)
        self._selector.unregister(control)
        control.close()
        forker.wait()
        self._control = self._forker = None
        self._drop_spare()
        self._false_starts += 1
        for running in list(self._by_number.values()):
            if running.pid:
                _kill_group(running.pid)
            # An outcome that was told before is an outcome.
            while running.number in self._by_number and not running.inbox.closed:
                self._hear_attempt(running, events)
            if running.number in self._by_number:
                self._discard(running)
                events.append(self._lost(running, forker.returncode))

    def _lost(self, running: _Running, code: int) -> AttemptEnded:
        if self._false_starts >= _MAX_FALSE_STARTS:
            message = (
                f"importing {self._app.entry} ended the process, {_how(code)}, {self._false_starts} times in a row"
            )
            tail = "" if self._log is None else _tail(self._log)
            return AttemptEnded(
                running.work.key, error=_error(reasons.LOAD_FAILED, message, tail, retryable=False), exit_code=code
            )
        message = f"the process that attempts are forked from ended, {_how(code)}"
        return AttemptEnded(
            running.work.key, error=_error(reasons.EXECUTOR_LOST, message), exit_code=code, disrupted=True
        )

    # Attempts

    def _hand_over(self, running: _Running) -> None:
        work = running.work
        message: JSONObject = {
            "input": work.input,
            "info": cast("JSONObject", work.info._asdict()),
            "log": None if work.log is None else str(work.log),
            "state": None if work.state is None else str(work.state),
            "context": work.context,
        }
        running.unreached = not self._say(running, message)
        if running.cancelled:
            self._say(running, {"cancel": True})

    def _say(self, running: _Running, message: JSONObject) -> bool:
        try:
            send(running.channel, message)
        except OSError:
            return False  # It has ended: its exit code is on the way.
        return True

    def _hear_attempt(self, running: _Running, events: list[ExecutorEvent]) -> None:
        running.inbox.read(running.channel)
        while (message := running.inbox.take()) is not None:
            outcome = message.get("outcome")
            told = cast("JSONObject", outcome if outcome is not None else message)
            sign = AttemptHeartbeat(
                running.work.key,
                cast("ProgressFields | None", told.get("progress")),
                cast("JSONObject | None", told.get("heartbeat")),
            )
            if sign.progress is not None or sign.heartbeat is not None:
                events.append(sign)
            if outcome is not None:
                self._discard(running)
                output = cast("JSONObject | None", told["output"])
                error = cast("ErrorFields | None", told["error"])
                state = cast("list[StateWrite]", told["state"])
                events.append(
                    AttemptEnded(running.work.key, output, error, state=state, log=cast("str", told.get("log", "")))
                )
                return
        if running.inbox.closed:
            # No outcome will come. The exit code, which says why, comes from the forker.
            self._selector.unregister(running.channel)
            self._end_without_outcome(running, events)

    def _end_without_outcome(self, running: _Running, events: list[ExecutorEvent]) -> None:
        if running.exit_code is None or not running.inbox.closed:
            return
        self._discard(running)
        # guard: unreached-attempt-is-a-disruption - a process that never had the work would cost the task an attempt
        if running.unreached:
            message = f"the attempt's process ended before it was given its work, {_how(running.exit_code)}"
            error, disrupted = _error(reasons.EXECUTOR_LOST, message), True
        else:
            error, disrupted = _exit_error(running), False
        events.append(AttemptEnded(running.work.key, error=error, exit_code=running.exit_code, disrupted=disrupted))

    def _discard(self, running: _Running) -> None:
        del self._by_number[running.number]
        del self._by_key[running.work.key]
        with contextlib.suppress(KeyError):
            self._selector.unregister(running.channel)
        running.channel.close()


def _exit_error(running: _Running) -> ErrorFields:
    code = cast("int", running.exit_code)
    tail = _log_tail(running.work.log)
    if code == 1 and _WATCHDOG_LINE.search(tail):
        limit = running.work.info.policy.get("heartbeatTimeoutSeconds", 0)
        message = (
            f"no sign of life for {limit:g} s (heartbeat_timeout_seconds): the task blocks its event loop, or a sync "
            f"task gives no heartbeat. The traceback shows where it stood"
        )
        return _error(reasons.HEARTBEAT_LOST, message, tail)
    if code < 0:
        hint = " The kernel kills what uses too much memory this way." if code == -signal.SIGKILL else ""
        return _error(reasons.PROCESS_DIED, f"the task's process was ended, {_how(code)}.{hint}", tail)
    if code == 0:
        message = "the task's process ended with exit code 0 and reported nothing: does it call sys.exit or os._exit?"
        return _error(reasons.NO_REPORT, message, tail)
    return _error(reasons.PROCESS_DIED, f"the task's process ended without a result, {_how(code)}", tail)


def _error(kind: str, message: str, traceback: str = "", *, retryable: bool = True) -> ErrorFields:
    error = ErrorFields(type=kind, message=message, retryable=retryable)
    if traceback:
        error["traceback"] = traceback
    return error


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _log_tail(path: Path | None) -> str:
    """The last lines of a log: what an attempt without an outcome had to say."""
    if path is None:
        return ""
    try:
        with path.open("rb") as log:
            return _tail(log)
    except OSError:
        return ""


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(size - _LOG_TAIL_BYTES, 0))
    content = log.read().decode("utf-8", "replace")
    return content if size <= _LOG_TAIL_BYTES else f"[…]\n{content.partition(chr(10))[2]}"


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
