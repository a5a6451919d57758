"""The process that calls share: it imports the app once and executes all calls in one event loop,
so globals are kept between them.

`actor_executor` starts it with a socket, which carries calls to it and outcomes back. Each engine
has a module of its own as the program, which calls `serve_calls`. When the socket closes, the
process ends, and with it all processes that its calls have started.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn, cast

from application_sdk.app.loading import AppLoadError
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.heartbeat import write_tracebacks_to
from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.processes.attempt_process import (
    AttemptHost,
    HeartbeatSender,
    end_group,
    new_attempt,
    outcome_message,
    print_failure,
)
from application_sdk.engines.processes.framing import Inbox, send
from application_sdk.engines.processes.shared_watchdog import SharedWatchdog
from application_sdk.engines.processes.source import AppSource
from application_sdk.execution.error_info import error_fields

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject

READY: Final = "ready"
START: Final = "start"
CANCEL: Final = "cancel"
KEY: Final = "key"


def serve_calls(host: AttemptHost) -> NoReturn:
    """The main program of `python -m MODULE CHANNEL_FD ENTRY DIRECTORY TRACEBACKS`."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    source = AppSource(sys.argv[2], sys.argv[3])
    write_tracebacks_to(os.open(sys.argv[4], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    sys.path[0] = source.directory
    try:
        source.load()
    except AppLoadError:
        pass  # Each call raises it too, and reports it.
    asyncio.run(_Actor(channel, source, host).serve())
    os._exit(0)


class _Actor:
    def __init__(self, channel: socket.socket, source: AppSource, host: AttemptHost) -> None:
        self._channel = channel
        self._source = source
        self._host = host
        self._inbox = Inbox()
        self._sending = threading.Lock()
        self._watchdog = SharedWatchdog()
        self._attempts: dict[str, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        asyncio.get_running_loop().add_reader(self._channel, self._read)
        self._send({READY: True})
        await asyncio.Event().wait()

    def _read(self) -> None:
        self._inbox.read(self._channel)
        while (message := self._inbox.take()) is not None:
            if message.get(CANCEL):
                attempt = self._attempts.get(str(message[KEY]))
                if attempt is not None:
                    attempt.cancel()
            else:
                # Each call has a context of its own, which its log lines, secrets and files depend
                # on.
                task = asyncio.get_running_loop().create_task(self._execute(message), context=contextvars.Context())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self._inbox.closed:
            end_group()

    async def _execute(self, message: JSONObject) -> None:
        key = str(message[KEY])
        self._host.begin(message)
        info = AttemptInfo(**cast("dict[str, object]", message["info"]))  # type: ignore[arg-type] # written from one

        def send_fields(fields: JSONObject) -> None:
            self._send({KEY: key, **fields})

        heartbeats = HeartbeatSender(send_fields)
        attempt = new_attempt(self._source, info, message, self._host, heartbeats, self._watchdog.watch)
        result = attempt if isinstance(attempt, AttemptResult) else await self._run(key, attempt, message)
        heartbeats.close()
        if result.error is not None:
            print_failure(info, result.error)
        send_fields({"outcome": outcome_message(info, result, heartbeats)})

    async def _run(self, key: str, attempt: Attempt, message: JSONObject) -> AttemptResult:
        self._attempts[key] = attempt
        try:
            return await attempt.run(cast("JSONObject", message["input"]))
        except asyncio.CancelledError as error:
            # Other code of this process has cancelled the task of this attempt. Only this call
            # fails.
            return AttemptResult(error=error_fields(error))
        finally:
            del self._attempts[key]

    def _send(self, message: JSONObject) -> None:
        try:
            with self._sending:
                send(self._channel, message)
        except OSError:
            end_group()
