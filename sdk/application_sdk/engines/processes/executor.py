"""The executor that gives each attempt a process: a task that crashes, exits or is killed loses
only its attempt.

Attempts are forked from a `fork_server` that has the app imported. When that process is killed its
attempts are lost, and another one takes its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Final, cast

from application_sdk.engines.processes.executor_protocol import (
    AppNotForkable,
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    ExecutorEvent,
)
from application_sdk.engines.processes.exit_errors import describe_exit, error_fields, exit_error, read_tail
from application_sdk.engines.processes.fork_server import FORK_REQUEST
from application_sdk.engines.processes.framing import Inbox, send
from application_sdk.engines.processes.source import AppSource
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields, StateWrite

_MAX_FAILED_STARTS: Final = 3
_END_SECONDS: Final = 5.0


@dataclasses.dataclass(slots=True)
class _Running:
    """A started attempt. `pid` is 0 until it is forked; the channel is open until its outcome or
    end is known."""

    spec: AttemptSpec
    number: int
    channel: socket.socket
    inbox: Inbox
    pid: int = 0
    exit_code: int | None = None
    cancelled: bool = False
    unreached: bool = False
    """Whether the process was gone before it could be given its work."""


@dataclasses.dataclass(slots=True)
class _PreforkedProcess:
    """A process that was forked before there is an attempt for it. `pid` is 0 until it has
    started."""

    number: int
    channel: socket.socket
    pid: int = 0


class ProcessExecutor:
    """Forks attempts of one app.

    Args:
        app: Where the app's code is.
        forker: The module that is the program of the process that attempts are forked from.
        environment: That of the process; this one's when absent.
        ahead: Whether a process waits for the next attempt, so that it begins without the wait for
            its fork.
        own_log: Whether the output of the fork server is kept, for the error that reports its end.
            Otherwise it goes to the output of this process, as does that of attempts without a log.
    """

    def __init__(
        self,
        app: AppSource,
        fork_server: str,
        environment: Mapping[str, str] | None = None,
        *,
        ahead: bool = False,
        own_log: bool = True,
    ) -> None:
        self._app = app
        self._module = fork_server
        self._environment = environment
        # What the fork server prints while it imports the app: needed only when it dies of that.
        self._log = tempfile.TemporaryFile() if own_log else None  # noqa: SIM115 - closed in `close`
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        # Not closed by `close`: another thread may be about to wake this executor, and would write
        # into whatever has got the same descriptor by then, such as a connection to the API server.
        weakref.finalize(self, os.close, self._wake_writer)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._by_number: dict[int, _Running] = {}
        self._by_key: dict[str, _Running] = {}
        self._numbers = 0
        self._ahead = ahead
        self._spare: _PreforkedProcess | None = None
        self._pending: list[ExecutorEvent] = []
        self._failed_starts = 0
        self._reason_reported = False
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lines = b""
        # Importing the app takes a while, so it begins before there is an attempt.
        self._start_server()
        self._fork_ahead()

    # The Executor

    def start(self, spec: AttemptSpec) -> None:
        if self._control is None:
            self._start_server()
        spare, self._spare = self._spare or self._fork(), None
        running = _Running(spec, spare.number, spare.channel, Inbox(), spare.pid)
        self._by_number[running.number] = self._by_key[spec.key] = running
        self._selector.register(running.channel, selectors.EVENT_READ, running)
        if running.pid:
            self._send_spec(running)
            self._pending.append(AttemptBegun(spec.key))
        self._fork_ahead()

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        events, self._pending = self._pending, []
        deadline = time.monotonic() + seconds
        while not events:
            left = deadline - time.monotonic()
            woken = False
            for key, _ in self._selector.select(max(left, 0)):
                if key.fileobj == self._wake_reader:
                    os.read(self._wake_reader, 4096)
                    woken = True
                elif key.fileobj is self._control:
                    self._read_server(events)
                elif key.data.number in self._by_number:  # It may just have been lost with its fork server.
                    self._read_attempt(key.data, events)
            if woken or left <= 0:
                break
        return events

    def cancel(self, key: str) -> None:
        running = self._by_key.get(key)
        if running is not None and not running.cancelled:
            running.cancelled = True
            if running.pid:
                self._send(running, {"cancel": True})

    def kill(self, key: str) -> None:
        running = self._by_key.get(key)
        if running is None:
            return
        # guard: unforked-attempt-ends - a fork server that hangs in the app's import never starts
        # the process
        if not running.pid:
            # Without its channel the process that may still be forked for it has no work, and ends
            # by itself.
            self._discard(running)
            self._pending.append(AttemptEnded(key))
            return
        _kill_group(running.pid)

    def wake(self) -> None:
        # The pipe is full of wakes already, or nobody waits any more.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._wake_writer, b"!")

    def close(self) -> None:
        fork_server, control = self._server, self._control
        if control is not None:
            self._selector.unregister(control)
            control.close()
        self._drop_spare()
        for running in list(self._by_number.values()):
            self._discard(running)
        if fork_server is not None:
            # It kills its children and ends when its socket closes.
            try:
                fork_server.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                fork_server.kill()
                fork_server.wait()
        self._server = self._control = None
        if self._log is not None:
            self._log.close()
        self._selector.close()
        os.close(self._wake_reader)

    # The fork server

    def _fork(self) -> _PreforkedProcess:
        """Ask for a process. It waits for its work."""
        ours, theirs = socket.socketpair()
        self._numbers += 1
        # The fork server may be gone: then `wait` sees that, and reports the attempt as lost.
        with contextlib.suppress(OSError):
            socket.send_fds(cast("socket.socket", self._control), [FORK_REQUEST.pack(self._numbers)], [theirs.fileno()])
        theirs.close()
        return _PreforkedProcess(self._numbers, ours)

    def _fork_ahead(self) -> None:
        if self._ahead and self._spare is None:
            self._spare = self._fork()

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare.channel.close()
            self._spare = None

    def _start_server(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", self._module]
        self._server = subprocess.Popen(
            [*command, str(theirs.fileno()), self._app.entry, self._app.directory],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env=self._environment,
            # Ctrl-C in the terminal must reach the engine alone: it decides how attempts end.
            start_new_session=True,
        )
        theirs.close()
        self._control = ours
        self._lines = b""
        self._selector.register(ours, selectors.EVENT_READ)

    def _read_server(self, events: list[ExecutorEvent]) -> None:
        try:
            content = cast("socket.socket", self._control).recv(65536)
        except ConnectionError:
            content = b""
        if not content:
            self._handle_server_exit(events)
            return
        *lines, self._lines = (self._lines + content).split(b"\n")
        for line in lines:
            word, *numbers = line.decode().split()
            if word == "ready":
                self._failed_starts = 0
                if numbers and not self._reason_reported:
                    self._reason_reported = True
                    events.append(AppNotForkable(" ".join(numbers)))
                continue
            running = self._by_number.get(int(numbers[0]))
            if running is None:
                self._update_spare(word, *map(int, numbers))
                continue
            if word == "started":
                running.pid = int(numbers[1])
                self._send_spec(running)
                events.append(AttemptBegun(running.spec.key))
            else:
                running.exit_code = int(numbers[1])
                self._end_without_outcome(running, events)

    def _update_spare(self, word: str, number: int, value: int) -> None:
        if self._spare is None or self._spare.number != number:
            return
        if word == "started":
            self._spare.pid = value
        else:
            self._drop_spare()  # Somebody ended it: the next attempt asks for another one.

    def _handle_server_exit(self, events: list[ExecutorEvent]) -> None:
        control, fork_server = cast("socket.socket", self._control), cast("subprocess.Popen[bytes]", self._server)
        self._selector.unregister(control)
        control.close()
        fork_server.wait()
        self._control = self._server = None
        self._drop_spare()
        self._failed_starts += 1
        for running in list(self._by_number.values()):
            if running.pid:
                _kill_group(running.pid)
            # An outcome that was sent before the end counts.
            while running.number in self._by_number and not running.inbox.closed:
                self._read_attempt(running, events)
            if running.number in self._by_number:
                self._discard(running)
                events.append(self._lost_attempt(running, fork_server.returncode))

    def _lost_attempt(self, running: _Running, code: int) -> AttemptEnded:
        if self._failed_starts >= _MAX_FAILED_STARTS:
            times = f"{self._failed_starts} times in a row"
            message = f"importing {self._app.entry} ended the process, {describe_exit(code)}, {times}"
            tail = "" if self._log is None else read_tail(self._log)
            return AttemptEnded(
                running.spec.key,
                error=error_fields(reasons.LOAD_FAILED, message, tail, retryable=False),
                exit_code=code,
            )
        message = f"the process that attempts are forked from ended, {describe_exit(code)}"
        return AttemptEnded(
            running.spec.key, error=error_fields(reasons.EXECUTOR_LOST, message), exit_code=code, disrupted=True
        )

    # Attempts

    def _send_spec(self, running: _Running) -> None:
        spec = running.spec
        message: JSONObject = {
            "input": spec.input,
            "info": cast("JSONObject", spec.info._asdict()),
            "log": None if spec.log is None else str(spec.log),
            "state": None if spec.state is None else str(spec.state),
            "appState": spec.app_state,
            "env": spec.env,
            "context": spec.context,
        }
        running.unreached = not self._send(running, message)
        if running.cancelled:
            self._send(running, {"cancel": True})

    def _send(self, running: _Running, message: JSONObject) -> bool:
        try:
            send(running.channel, message)
        except OSError:
            return False  # It has ended: its exit code is on the way.
        return True

    def _read_attempt(self, running: _Running, events: list[ExecutorEvent]) -> None:
        running.inbox.read(running.channel)
        while (message := running.inbox.take()) is not None:
            outcome = message.get("outcome")
            fields = cast("JSONObject", outcome if outcome is not None else message)
            heartbeat = AttemptHeartbeat(
                running.spec.key,
                cast("ProgressFields | None", fields.get("progress")),
                cast("JSONObject | None", fields.get("heartbeat")),
            )
            if heartbeat.progress is not None or heartbeat.heartbeat is not None:
                events.append(heartbeat)
            if outcome is not None:
                self._discard(running)
                output = cast("JSONObject | None", fields["output"])
                error = cast("ErrorFields | None", fields["error"])
                state = cast("list[StateWrite]", fields["state"])
                events.append(
                    AttemptEnded(running.spec.key, output, error, state=state, log=cast("str", fields.get("log", "")))
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
        # guard: unreached-attempt-is-a-disruption - a process that never had the work would cost
        # the task an attempt
        if running.unreached:
            message = f"the attempt's process ended before it was given its work, {describe_exit(running.exit_code)}"
            error, disrupted = error_fields(reasons.EXECUTOR_LOST, message), True
        else:
            error, disrupted = exit_error(running.spec, running.exit_code), False
        events.append(AttemptEnded(running.spec.key, error=error, exit_code=running.exit_code, disrupted=disrupted))

    def _discard(self, running: _Running) -> None:
        del self._by_number[running.number]
        del self._by_key[running.spec.key]
        with contextlib.suppress(KeyError):
            self._selector.unregister(running.channel)
        running.channel.close()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
