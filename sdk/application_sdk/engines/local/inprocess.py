"""The executor without processes: attempts are asyncio tasks in this process. For speed, and for
breakpoints.

A task that crashes the interpreter, or blocks it, takes the run with it; the run can be resumed.
What tasks print goes where this process prints.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from typing import Final

from application_sdk.app.base import App
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.state import AttemptState
from application_sdk.engines.local.state import SavedState
from application_sdk.engines.processes.executor_protocol import (
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    ExecutorEvent,
)
from application_sdk.errors import AppNotFoundError
from application_sdk.execution.error_info import error_fields
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ProgressFields

_ABANDONED: Final[list[asyncio.Task[AttemptResult]]] = []
"""Attempts that were given up and never gave way. Their bodies can't be ended. If they were collected,
their clean-up would run at some later moment, in the context of whatever runs then."""


class InProcessExecutor:
    """Runs attempts of one app in an event loop that turns while `wait` does."""

    def __init__(self, app_class: type[App]) -> None:
        self._app_class = app_class
        self._loop = asyncio.new_event_loop()
        self._attempts: dict[str, tuple[Attempt, asyncio.Task[AttemptResult]]] = {}
        self._events: deque[ExecutorEvent] = deque()
        self._begun: list[AttemptBegun] = []
        self._closing = False
        self._killed: list[asyncio.Task[AttemptResult]] = []

    def start(self, spec: AttemptSpec) -> None:
        try:
            definition = self._app_class.definition.task(spec.info.task)
            app = self._app_class()
        except AppNotFoundError as error:
            self._emit(
                AttemptEnded(
                    spec.key, error={"type": reasons.TASK_NOT_FOUND, "message": str(error), "retryable": False}
                )
            )
            return
        except Exception as error:  # noqa: BLE001 - the app's own __init__
            self._emit(AttemptEnded(spec.key, error=error_fields(error)))
            return
        assert spec.state is not None, "the local engine keeps the state of its apps"
        state = AttemptState(SavedState(spec.state, self._app_class.name))
        attempt = Attempt(definition, app, spec.info, _HeartbeatSink(self, spec.key), state=state)
        task = self._loop.create_task(
            attempt.run(spec.input), name=f"{spec.info.task}-{spec.info.attempt}", context=contextvars.Context()
        )
        self._attempts[spec.key] = (attempt, task)
        # Not worth a wake: it is returned with the next event.
        self._begun.append(AttemptBegun(spec.key))
        task.add_done_callback(lambda task_done: self._finish(spec.key, task_done))

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        if not self._events:
            self._run_loop(seconds)
        elif self._attempts:
            self._run_loop(0)
        events = [*self._begun, *self._events]
        self._begun.clear()
        self._events.clear()
        return events

    def cancel(self, key: str) -> None:
        entry = self._attempts.get(key)
        if entry is not None:
            entry[0].cancel()

    def kill(self, key: str) -> None:
        """Abandon the attempt: this process can't end it."""
        entry = self._attempts.pop(key, None)
        if entry is not None:
            entry[1].cancel()
            self._killed.append(entry[1])
            self._emit(AttemptEnded(key))

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def close(self) -> None:
        self._closing = True
        tasks = [task for _, task in self._attempts.values()]
        self._attempts.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            # One round of the loop: bodies may begin to clean up, but nothing waits for them.
            self._run_loop(0)
        generators = self._loop.create_task(self._loop.shutdown_asyncgens())
        generators.add_done_callback(lambda _: self._loop.stop())
        # A `wake` from another thread may stop the loop before that.
        while not generators.done():
            self._loop.run_forever()
        _ABANDONED.extend(task for task in [*tasks, *self._killed] if not task.done())
        self._loop.close()

    def emit_threadsafe(self, heartbeat: AttemptHeartbeat) -> None:
        """Take a heartbeat of an attempt, which may come from a thread of its own."""
        try:
            self._loop.call_soon_threadsafe(self._emit, heartbeat)
        except RuntimeError:
            pass  # A thread that outlived its run.

    def _run_loop(self, seconds: float) -> None:
        """Run the loop until there is an event, for at most `seconds`."""
        limit = self._loop.call_later(seconds, self._loop.stop)
        self._loop.run_forever()
        limit.cancel()

    def _finish(self, key: str, task_done: asyncio.Task[AttemptResult]) -> None:
        entry = self._attempts.get(key)
        if entry is None or entry[1] is not task_done:
            return
        del self._attempts[key]
        if task_done.cancelled():
            self._emit(AttemptEnded(key))
            return
        error = task_done.exception()
        if error is not None:
            self._emit(AttemptEnded(key, error=error_fields(error)))
            return
        result = task_done.result()
        self._emit(AttemptEnded(key, result.output, result.error, state=result.state))

    def _emit(self, event: ExecutorEvent) -> None:
        if not self._closing:
            self._events.append(event)
            if self._loop.is_running():
                self._loop.stop()


class _HeartbeatSink:
    def __init__(self, executor: InProcessExecutor, key: str) -> None:
        self._executor = executor
        self._key = key

    def heartbeat(self, details: JSONObject) -> None:
        self._executor.emit_threadsafe(AttemptHeartbeat(self._key, heartbeat=details))

    def progress(self, progress: ProgressFields) -> None:
        self._executor.emit_threadsafe(AttemptHeartbeat(self._key, progress=progress))
