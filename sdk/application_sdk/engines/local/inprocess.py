"""The executor without processes: attempts are asyncio tasks in this one. For speed, and for breakpoints.

A task that crashes the interpreter, or blocks it, takes the run with it; the run can be resumed. What tasks print goes
where this process prints.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence

from application_sdk.app.base import App
from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.state import AttemptState
from application_sdk.engines.local.state import KeptState
from application_sdk.engines.processes.executor_protocol import Begun, Ended, Event, Sign, Work
from application_sdk.errors import AppNotFoundError
from application_sdk.execution.error_info import error_fields
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ProgressFields


class InProcessExecutor:
    """Runs attempts of one app in an event loop that turns while `wait` does."""

    def __init__(self, app_class: type[App]) -> None:
        self._app_class = app_class
        self._loop = asyncio.new_event_loop()
        self._attempts: dict[str, tuple[Attempt, asyncio.Task[AttemptResult]]] = {}
        self._events: deque[Event] = deque()
        self._begun: list[Begun] = []
        self._closing = False

    def start(self, work: Work) -> None:
        try:
            definition = self._app_class.definition.task(work.info.task)
            app = self._app_class()
        except AppNotFoundError as error:
            self._tell(
                Ended(work.key, error={"type": reasons.TASK_NOT_FOUND, "message": str(error), "retryable": False})
            )
            return
        except Exception as error:  # noqa: BLE001 - the app's own __init__
            self._tell(Ended(work.key, error=error_fields(error)))
            return
        assert work.state is not None, "the local engine keeps the state of its apps"
        state = AttemptState(KeptState(work.state, self._app_class.name))
        attempt = Attempt(definition, app, work.info, _Signs(self, work.key), state=state)
        task = self._loop.create_task(
            attempt.run(work.input), name=f"{work.info.task}-{work.info.attempt}", context=contextvars.Context()
        )
        self._attempts[work.key] = (attempt, task)
        # No news to wake up for: it goes along with what comes next.
        self._begun.append(Begun(work.key))
        task.add_done_callback(lambda done: self._finish(work.key, done))

    def wait(self, seconds: float) -> Sequence[Event]:
        if not self._events:
            self._turn(seconds)
        elif self._attempts:
            self._turn(0)
        events = [*self._begun, *self._events]
        self._begun.clear()
        self._events.clear()
        return events

    def cancel(self, key: str) -> None:
        found = self._attempts.get(key)
        if found is not None:
            found[0].cancel()

    def kill(self, key: str) -> None:
        """Gives the attempt up: this process has no way to end it."""
        found = self._attempts.pop(key, None)
        if found is not None:
            found[1].cancel()
            self._tell(Ended(key))

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def close(self) -> None:
        self._closing = True
        tasks = [task for _, task in self._attempts.values()]
        self._attempts.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            # One round: what a body does on its cancellation may run, but nobody waits for it.
            self._turn(0)
        generators = self._loop.create_task(self._loop.shutdown_asyncgens())
        generators.add_done_callback(lambda _: self._loop.stop())
        # A `wake` from another thread may stop the loop before that.
        while not generators.done():
            self._loop.run_forever()
        self._loop.close()

    def tell_from_any_thread(self, sign: Sign) -> None:
        """For the signs of attempts, which may come from their threads."""
        try:
            self._loop.call_soon_threadsafe(self._tell, sign)
        except RuntimeError:
            pass  # A thread that outlived its run.

    def _turn(self, seconds: float) -> None:
        """Have the loop run until there is news, at most so long."""
        limit = self._loop.call_later(seconds, self._loop.stop)
        self._loop.run_forever()
        limit.cancel()

    def _finish(self, key: str, done: asyncio.Task[AttemptResult]) -> None:
        found = self._attempts.get(key)
        if found is None or found[1] is not done:
            return
        del self._attempts[key]
        if done.cancelled():
            self._tell(Ended(key))
            return
        error = done.exception()
        if error is not None:
            self._tell(Ended(key, error=error_fields(error)))
            return
        result = done.result()
        self._tell(Ended(key, result.output, result.error, state=result.state))

    def _tell(self, event: Event) -> None:
        if not self._closing:
            self._events.append(event)
            if self._loop.is_running():
                self._loop.stop()


class _Signs:
    def __init__(self, executor: InProcessExecutor, key: str) -> None:
        self._executor = executor
        self._key = key

    def heartbeat(self, details: JSONObject) -> None:
        self._executor.tell_from_any_thread(Sign(self._key, heartbeat=details))

    def progress(self, progress: ProgressFields) -> None:
        self._executor.tell_from_any_thread(Sign(self._key, progress=progress))
