"""The executor whose calls share one process and its globals (`actor_server`).

The process is replaced when it ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from application_sdk.engines.processes.actor_server import CANCEL, KEY, READY
from application_sdk.engines.processes.executor_protocol import (
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    ExecutorEvent,
)
from application_sdk.engines.processes.exit_errors import describe_exit, error_fields, exit_error
from application_sdk.engines.processes.framing import Inbox, send
from application_sdk.engines.processes.source import AppSource
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields, StateWrite

_MAX_FALSE_STARTS: Final = 3
"""How many processes in a row may end while they import the app, until calls fail."""
_END_SECONDS: Final = 5.0
"""How long a killed process may take to end."""


class ActorExecutor:
    """Executes attempts of one app in one process.

    To kill one attempt ends the process, and all other attempts with it. They count as disrupted,
    as if their machine were lost.

    Args:
        app: Where the app's code is.
        module: The program of the process.
        environment: The environment of the process.
        tracebacks: File for the tracebacks of its watchdog, created when there is one.
    """

    def __init__(self, app: AppSource, module: str, environment: Mapping[str, str], tracebacks: Path) -> None:
        self._app = app
        self._module = module
        self._environment = environment
        self._tracebacks = tracebacks
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        # `close` leaves it open: another thread may be about to wake this executor.
        weakref.finalize(self, os.close, self._wake_writer)
        self._running: dict[str, AttemptSpec] = {}
        self._begun: set[str] = set()
        self._killed: set[str] = set()
        self._is_ready = False
        self._false_starts = 0
        self._events: list[ExecutorEvent] = []
        # Importing the app takes a while, so it begins before the first call.
        self._start_process()

    def start(self, spec: AttemptSpec) -> None:
        self._running[spec.key] = spec
        if self._is_ready:
            self._hand_over(spec)

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        deadline = time.monotonic() + seconds
        while not self._events:
            left = deadline - time.monotonic()
            watched: list[socket.socket | int] = [self._channel, self._wake_reader]
            ready, _, _ = select.select(watched, [], [], max(left, 0))
            if self._channel in ready:
                self._read()
            if self._wake_reader in ready:
                os.read(self._wake_reader, 4096)
                break
            if left <= 0:
                break
        events, self._events = self._events, []
        return events

    def cancel(self, key: str) -> None:
        if key in self._begun:
            self._send({CANCEL: True, KEY: key})
        elif self._running.pop(key, None) is not None:
            self._events.append(AttemptEnded(key))

    def kill(self, key: str) -> None:
        if key in self._running:
            self._killed.add(key)
            _kill_group(self._process.pid)

    def wake(self) -> None:
        # A full pipe wakes the executor anyway, and a closed one has nobody to wake.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._wake_writer, b"!")

    def close(self) -> None:
        self._channel.close()
        _kill_group(self._process.pid)
        self._process.wait(_END_SECONDS)
        os.close(self._wake_reader)

    def _start_process(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", self._module, str(theirs.fileno()), self._app.entry, self._app.directory]
        self._process = subprocess.Popen(
            [*command, str(self._tracebacks)],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=self._environment,
            start_new_session=True,
        )
        theirs.close()
        self._channel, self._inbox, self._is_ready = ours, Inbox(), False

    def _hand_over(self, spec: AttemptSpec) -> None:
        self._begun.add(spec.key)
        self._events.append(AttemptBegun(spec.key))
        self._send(
            {
                KEY: spec.key,
                "input": spec.input,
                "info": cast("JSONObject", spec.info._asdict()),
                "appState": spec.app_state,
                "context": spec.context,
            }
        )

    def _send(self, message: JSONObject) -> None:
        with contextlib.suppress(OSError):  # The process has ended, which `wait` is about to see.
            send(self._channel, message)

    def _read(self) -> None:
        self._inbox.read(self._channel)
        while (message := self._inbox.take()) is not None:
            if READY in message:
                self._is_ready, self._false_starts = True, 0
                for spec in self._running.values():
                    self._hand_over(spec)
            elif str(message[KEY]) in self._running:
                self._take(str(message[KEY]), message)
        if self._inbox.closed:
            self._replace_process()

    def _take(self, key: str, message: JSONObject) -> None:
        outcome = cast("JSONObject | None", message.get("outcome"))
        fields = message if outcome is None else outcome
        heartbeat = cast("JSONObject | None", fields.get("heartbeat"))
        progress = cast("ProgressFields | None", fields.get("progress"))
        if heartbeat is not None or progress is not None:
            self._events.append(AttemptHeartbeat(key, progress, heartbeat))
        if outcome is not None:
            del self._running[key]
            self._begun.discard(key)
            error = cast("ErrorFields | None", outcome["error"])
            state = cast("list[StateWrite]", outcome["state"])
            output, log = cast("JSONObject | None", outcome["output"]), cast("str", outcome["log"])
            self._events.append(AttemptEnded(key, output, error, state=state, log=log))

    def _replace_process(self) -> None:
        """End the attempts that the process had begun, since it has ended, and start the next
        process for the others."""
        self._channel.close()
        # Processes that calls have started and left behind end too.
        _kill_group(self._process.pid)
        code = self._process.wait()
        self._false_starts = 0 if self._is_ready else self._false_starts + 1
        begun, killed = self._begun, self._killed
        self._begun, self._killed = set(), set()
        for key in begun | killed:
            spec = self._running.pop(key)
            if key in killed or len(begun) == 1:
                self._events.append(AttemptEnded(key, error=exit_error(spec, code, self._tracebacks), exit_code=code))
            else:
                # It isn't known which of the calls ended the process.
                message = f"the process that calls share ended, {describe_exit(code)}"
                lost = error_fields(reasons.EXECUTOR_LOST, message)
                self._events.append(AttemptEnded(key, error=lost, exit_code=code, disrupted=True))
        if self._false_starts >= _MAX_FALSE_STARTS:
            times = f"{self._false_starts} times in a row"
            message = f"importing {self._app.entry} ended the process, {describe_exit(code)}, {times}"
            for key in list(self._running):
                del self._running[key]
                error = error_fields(reasons.LOAD_FAILED, message, retryable=False)
                self._events.append(AttemptEnded(key, error=error, exit_code=code))
        self._tracebacks.unlink(missing_ok=True)
        self._start_process()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
