"""One attempt of one task call, the same for every engine: decode, run the body, encode; every end is a value.

Engines make an `Attempt` and await `run()`. It writes nothing anywhere, and knows neither retries nor budgets.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from application_sdk.attempt.heartbeat import NoWatchdog, Watchdog
from application_sdk.attempt.progress import StallWatchdog
from application_sdk.attempt.task_context import AttemptInfo, HeartbeatSink, NullSink, TaskContext
from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.contracts.size import check_size
from application_sdk.errors import MisuseError
from application_sdk.execution import current, secret_leaks
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.threads import call_in_thread, share_runtime_with_threads
from application_sdk.wire import reasons
from application_sdk.wire.fields import ErrorFields, StateWrite

if TYPE_CHECKING:
    import random
    import uuid
    from datetime import datetime

    from application_sdk.attempt.files import AttemptFiles
    from application_sdk.attempt.state import AttemptState
    from application_sdk.contracts.base import Input, Output
    from application_sdk.execution.current import TaskRequest
    from application_sdk.execution.definition import AppDefinition, TaskDefinition
    from application_sdk.storage.files import FileStorage
    from application_sdk.wire.digest import JSONObject

_REFERENCES = "application_sdk.contracts.types"
"""Module of FileReference: where it isn't loaded, nothing can refer to a file."""


class AttemptResult(NamedTuple):
    """How an attempt ended: with an output, with an error, or, when it was cancelled, with neither."""

    output: JSONObject | None = None
    error: ErrorFields | None = None
    state: Sequence[StateWrite] = ()
    """What is to be kept together with the output."""

    @property
    def cancelled(self) -> bool:
        """The body gave way to a cancellation: there is no outcome to record."""
        return self.output is None and self.error is None


class Attempt:
    """Runs a task's body once, within its time limit."""

    def __init__(
        self,
        definition: TaskDefinition,
        app: object,
        info: AttemptInfo,
        sink: HeartbeatSink | None = None,
        watchdog: Watchdog | None = None,
        state: AttemptState | None = None,
    ) -> None:
        self._definition = definition
        self._app = app
        self._info = info
        self._watchdog = watchdog or NoWatchdog()
        self._in_driver = definition.settings.runs_in == "driver"
        self._state = _no_state() if self._in_driver and state is not None else state
        self.context = TaskContext(info, sink or NullSink(), self._watchdog)
        self._files: AttemptFiles | None = None
        self._task: asyncio.Task[object] | None = None

    def cancel(self) -> None:
        """Ask the body to end: CancelledError where it waits, `is_cancelled` in threads. It may clean up, or finish.

        Call it in the event loop's thread.
        """
        self.context.cancel()
        if self._task is not None:
            self._task.cancel()

    async def run(self, payload: JSONObject) -> AttemptResult:
        """Run the body on an input. Raises nothing that the body raises."""
        # guard: cancelled-before-begun - nothing would end a body that was cancelled before its first step
        if self.context.is_cancelled():
            return AttemptResult()
        self._task = asyncio.current_task()
        try:
            input = decode(self._definition.input_type, payload, paths="keep" if self._info.own_disk else "drop")
        except ContractValidationError as error:
            return AttemptResult(error=ErrorFields(type=reasons.INVALID_INPUT, message=str(error), retryable=False))
        permanent = self._info.policy["retry"].get("nonRetryable", [])
        try:
            returned = await self._within_limits(input)
            output = encode(returned, self._definition.output_type)
            check_size(output, self._max_output_bytes(), contract=self._definition.output_type.__name__)
            secret_leaks.check(output, f"the output of task {self._info.task!r}")
        except _Ended as ended:
            return AttemptResult(error=ended.error)
        except asyncio.CancelledError as error:
            if self.context.is_cancelled():
                return AttemptResult()
            if self._task is not None and self._task.cancelling():
                raise  # The engine cancelled the task around us, without our `cancel`.
            return AttemptResult(error=error_fields(error, permanent))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a task is a failure of the task as well
            return AttemptResult(error=error_fields(error, permanent))
        finally:
            self._watchdog.stop()
            if self._files is not None:
                self._files.close()
            self.context.remove_scratch()
        return AttemptResult(output=output, state=self._state.writes() if self._state is not None else ())

    def _max_output_bytes(self) -> int:
        app: AppDefinition | None = getattr(self._app, "definition", None)
        limit = self._info.max_output_bytes
        return limit if app is None else min(limit, app.max_payload_bytes)

    async def _within_limits(self, input: Input) -> Output:
        limit = asyncio.timeout(self._info.policy.get("timeoutSeconds"))
        info = self._info
        stall = StallWatchdog(self._definition.line, info.task, info.attempt, info.policy, self.context.progress_watch)
        secrets = self._definition.settings.pod.get("secrets")
        token = current.enter(_TaskRuntime(self._info, self.context, self.files, secrets, self._state))
        share_runtime_with_threads()
        try:
            async with self._beating(), stall.limit, limit:
                stall.begin()
                if _REFERENCES not in sys.modules:
                    return await self._body(input)
                # Moving files is part of the work: its limits hold, and a failure is one of the attempt's.
                files = self.files()
                return await files.store(await self._body(await files.fetch(input)))
        except TimeoutError as error:
            if limit.expired():
                ended = _Ended(self._timed_out())
            elif stall.error is not None and stall.limit.expired():
                ended = _Ended(stall.error)
            else:
                raise
            self.context.cancel()  # A thread of the body's may still ask.
            raise ended from error
        finally:
            stall.stop()
            current.leave(token)

    def files(self) -> AttemptFiles:
        """The files of this attempt. Nothing of the storage layer is loaded before that."""
        if self._files is None:
            from application_sdk.attempt.files import AttemptFiles

            self._files = AttemptFiles(self._app, self._info, self.context, has_store=not self._in_driver)
        return self._files

    async def _body(self, input: Input) -> Output:
        if self._definition.is_async:
            return await cast("Awaitable[Output]", self._definition.function(self._app, input))
        return cast("Output", await call_in_thread(self._definition.function, self._app, input))

    @contextlib.asynccontextmanager
    async def _beating(self) -> AsyncIterator[None]:
        """Heartbeats for the body, as often as its policy says, as long as the event loop turns."""
        seconds = self._info.policy.get("autoHeartbeatSeconds")
        if not seconds:
            yield
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, lambda: beat())

        def beat() -> None:
            nonlocal timer
            self._watchdog.beat()
            timer = loop.call_later(seconds, beat)

        try:
            yield
        finally:
            timer.cancel()

    def _timed_out(self) -> ErrorFields:
        limit = self._info.policy.get("timeoutSeconds", 0.0)
        return ErrorFields(
            type=reasons.TIMED_OUT,
            message=f"attempt {self._info.attempt} of {self._info.task!r} was still running after {limit:g} s "
            f"(timeout_seconds, {self._definition.line})",
            retryable=True,
        )


def _no_state() -> AttemptState:
    from application_sdk.attempt.state import NoState

    return NoState()


class _Ended(Exception):
    """A limit of the attempt was reached. Told apart from a TimeoutError of the body's own."""

    def __init__(self, error: ErrorFields) -> None:
        super().__init__(error["type"])
        self.error = error


class _TaskRuntime:
    """What stands behind `self` in a task: the real thing, nothing that a replay has to repeat."""

    in_route = False
    replaying = False

    def __init__(
        self,
        info: AttemptInfo,
        context: TaskContext,
        files: Callable[[], AttemptFiles],
        secrets: list[str] | None,
        state: AttemptState | None,
    ) -> None:
        self.state = state
        self.secrets = secrets
        """Those that the task asks for; None for all that there are."""
        self.started_at = time.time()
        self.run_id = info.run_id
        self.correlation_id = info.correlation_id
        self.task_context = context
        self._task = info.task
        self._files = files

    @property
    def storage(self) -> FileStorage:
        return self._files().storage()

    def call_task(self, request: TaskRequest) -> Coroutine[object, None, Output]:
        raise MisuseError(
            f"task {self._task!r} calls task {request.definition.name!r} at {request.line}: a task can't call a task. "
            "Call both from the route, or make the inner one a plain method without @task."
        )

    def now(self) -> datetime:
        from datetime import UTC, datetime

        return datetime.now(UTC)

    def uuid(self) -> uuid.UUID:
        import uuid

        return uuid.uuid4()

    def random(self) -> random.Random:
        import random

        return random.Random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_condition(self, condition: Callable[[], bool], timeout: float | None) -> None:  # noqa: ASYNC109
        raise MisuseError("wait_condition() waits for what tasks bring, so only a route can use it")
