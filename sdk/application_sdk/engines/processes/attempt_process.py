"""The process of one attempt. `fork_server` calls it in the new process, and it never returns.

It receives the attempt over the channel, runs it once, sends the outcome and ends. When the engine
is gone it ends too, together with all processes that its task has started: nothing would receive
its outcome.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

from application_sdk.app.loading import AppLoadError
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.forked_child import restore_signals_in_forked_children
from application_sdk.attempt.heartbeat import NoWatchdog, ProcessWatchdog, Watchdog
from application_sdk.attempt.task_context import AttemptInfo, HeartbeatSink
from application_sdk.engines.processes.framing import Inbox, receive, send
from application_sdk.errors import AppNotFoundError
from application_sdk.execution import logs
from application_sdk.execution.error_info import error_fields
from application_sdk.wire import reasons

if TYPE_CHECKING:
    from collections.abc import Callable

    from application_sdk.attempt.state import AttemptState
    from application_sdk.engines.processes.source import AppSource
    from application_sdk.wire.digest import JSON, JSONObject
    from application_sdk.wire.fields import ErrorFields, ProgressFields

HEARTBEAT_INTERVAL_SECONDS: Final = 0.5


class AttemptHost(Protocol):
    """What an engine contributes to the processes of its attempts."""

    def begin(self, work: JSONObject) -> None:
        """Prepare a new process before any of the app's code runs: its output, its folder, its
        memory limit."""
        ...

    def state(self, work: JSONObject, app: str) -> AttemptState | None:
        """The app's state as the attempt sees it; None where there is none."""
        ...

    def ended(self, pid: int) -> None:
        """Clean up after the process `pid`, however it ended. Called in the fork server."""
        ...


def run_attempt_process(channel: socket.socket, source: AppSource, host: AttemptHost) -> NoReturn:
    """Run the attempt that comes over `channel`, then end the process."""
    inbox = Inbox()
    # Made before the attempt is received: this process may have been forked ahead of it.
    loop = asyncio.new_event_loop()
    message = receive(channel, inbox)
    if message is None:
        os._exit(0)
    host.begin(message)
    gc.enable()
    info = AttemptInfo(**cast("dict[str, object]", message["info"]))  # type: ignore[arg-type] # written from one
    heartbeats = HeartbeatSender(partial(send, channel))
    result = _attempt(source, info, message, host, heartbeats, channel, inbox, loop)
    heartbeats.close()
    if result.error is not None:
        print_failure(info, result.error)
    _report_and_exit(channel, info, result, heartbeats)


def _attempt(
    source: AppSource,
    info: AttemptInfo,
    work: JSONObject,
    host: AttemptHost,
    heartbeats: HeartbeatSender,
    channel: socket.socket,
    inbox: Inbox,
    loop: asyncio.AbstractEventLoop,
) -> AttemptResult:
    attempt = new_attempt(source, info, work, host, heartbeats, ProcessWatchdog)
    if isinstance(attempt, AttemptResult):
        return attempt
    # Never closed: `close` waits for threads that the task has left behind, and the outcome must
    # not.
    return asyncio.Runner(loop_factory=lambda: loop).run(
        _run_body(attempt, cast("JSONObject", work["input"]), channel, inbox)
    )


def new_attempt(
    source: AppSource,
    info: AttemptInfo,
    work: JSONObject,
    host: AttemptHost,
    heartbeats: HeartbeatSink,
    new_watchdog: Callable[[float], Watchdog],
) -> Attempt | AttemptResult:
    """The attempt that the engine's message describes, or its result where it can't begin."""
    try:
        app_class = source.load()
        definition = app_class.definition.task(info.task)
        app = app_class()
    except AppLoadError as error:
        failure: ErrorFields = {"type": reasons.LOAD_FAILED, "message": str(error), "traceback": error.traceback}
        return AttemptResult(error={**failure, "retryable": False})
    except AppNotFoundError as error:
        return AttemptResult(error={"type": reasons.TASK_NOT_FOUND, "message": str(error), "retryable": False})
    except Exception as error:  # noqa: BLE001 - the app's own __init__
        return AttemptResult(error=error_fields(error))
    state = host.state(work, app_class.name)
    heartbeat_timeout = info.policy.get("heartbeatTimeoutSeconds")
    watchdog = new_watchdog(heartbeat_timeout) if heartbeat_timeout else NoWatchdog()
    return Attempt(definition, app, info, heartbeats, watchdog, state)


async def _run_body(attempt: Attempt, payload: JSONObject, channel: socket.socket, inbox: Inbox) -> AttemptResult:
    def on_readable() -> None:
        inbox.read(channel)
        handle_messages()

    def handle_messages() -> None:
        if inbox.take() is not None:
            attempt.cancel()
        if inbox.closed:
            end_group()

    loop = asyncio.get_running_loop()
    loop.add_reader(channel, on_readable)
    # A cancellation may have come along with the attempt. Handled right here it would find no body
    # to cancel.
    loop.call_soon(handle_messages)
    loop.add_signal_handler(signal.SIGTERM, attempt.cancel)
    restore_signals_in_forked_children()
    return await attempt.run(payload)


class HeartbeatSender:
    """Sends the latest progress and heartbeat details, at most once per interval.

    What comes within an interval is sent at its end, by a timer thread: a process that is killed
    has sent all but its last half second. What is left when the body ends becomes part of the
    outcome.
    """

    def __init__(self, send: Callable[[JSONObject], None]) -> None:
        self._send_message = send
        self._lock = threading.Lock()
        self._next = 0.0
        self._timer: threading.Timer | None = None
        self.unsent: JSONObject = {}

    def heartbeat(self, details: JSONObject) -> None:
        self._add("heartbeat", details)

    def progress(self, progress: ProgressFields) -> None:
        self._add("progress", cast("JSONObject", progress))

    def close(self) -> None:
        """Send nothing more: a thread that the body has left must not write between parts of the
        outcome."""
        with self._lock:
            self._next = float("inf")
            if self._timer is not None:
                self._timer.cancel()

    def _add(self, field: str, value: JSONObject) -> None:
        with self._lock:
            self.unsent[field] = value
            pause = self._next - time.monotonic()
            if pause <= 0:
                self._send()
            elif self._timer is None and pause <= HEARTBEAT_INTERVAL_SECONDS:
                self._timer = threading.Timer(pause, self._send_late)
                self._timer.daemon = True
                self._timer.start()

    def _send_late(self) -> None:
        with self._lock:
            self._timer = None
            # When it was closed meanwhile, the rest becomes part of the outcome.
            if self._next != float("inf"):
                self._send()

    def _send(self) -> None:
        self._next = time.monotonic() + HEARTBEAT_INTERVAL_SECONDS
        try:
            self._send_message(self.unsent)
        except OSError:
            pass  # The engine is gone, and the event loop is about to see it.
        self.unsent = {}


def print_failure(info: AttemptInfo, error: ErrorFields) -> None:
    text = error.get("traceback") or f"{error['type']}: {error['message']}"
    print(f"attempt {info.attempt} of {info.task} failed\n{text.rstrip()}", file=sys.stderr)  # noqa: T201


def _report_and_exit(
    channel: socket.socket, info: AttemptInfo, result: AttemptResult, heartbeats: HeartbeatSender
) -> NoReturn:
    try:
        logs.finish()
    except OSError:
        pass  # The log's disk is full: the outcome matters more.
    try:
        channel.setblocking(True)
        send(channel, {"outcome": outcome_message(info, result, heartbeats)})
    except OSError:
        end_group()
    os._exit(0)


def outcome_message(info: AttemptInfo, result: AttemptResult, heartbeats: HeartbeatSender) -> JSONObject:
    """The outcome of an attempt as a message to the engine. `heartbeats` is closed by then."""
    return {
        **heartbeats.unsent,
        "output": result.output,
        "error": cast("JSONObject | None", result.error),
        "state": cast("list[JSON]", list(result.state)),
        "log": logs.kept_log(info.attempt)["tail"] if result.error is not None else "",
    }


def end_group() -> NoReturn:
    """End this process and all that it has started."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)
