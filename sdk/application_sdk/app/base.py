"""`App`: the class that users derive from. A subclass is checked and registered when it is defined.

Instances are made by whoever executes a route or a task, one for each; what `self` offers there comes from
`execution.current`. Nothing is executed here.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, ParamSpec, TypeVar, cast, overload

from typing_extensions import override

from application_sdk.app import durable
from application_sdk.app.context import AppContext
from application_sdk.app.definition import NO_ROUTE, define
from application_sdk.app.entrypoint import kebab_case
from application_sdk.app.registry import AppRegistry
from application_sdk.contracts.base import OfTheRun
from application_sdk.errors import AppError as AppError
from application_sdk.errors import IncompleteAppError, MisuseError, NotAvailableError
from application_sdk.errors import NonRetryableError as NonRetryableError
from application_sdk.errors import RetryableError as RetryableError
from application_sdk.execution import current
from application_sdk.execution.source_lines import frame_line, user_line
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    import logging
    import random
    import uuid
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from application_sdk.app.task import BoundTask
    from application_sdk.attempt.task_context import TaskContext
    from application_sdk.contracts.base import HeartbeatDetails, Input, Output
    from application_sdk.contracts.storage import DownloadInput, DownloadOutput, UploadInput, UploadOutput
    from application_sdk.errors import TaskFailedError
    from application_sdk.execution.definition import AppDefinition, GateMode

P = ParamSpec("P")
T = TypeVar("T")
In = TypeVar("In", bound="Input")
Out = TypeVar("Out", bound="Output")
Details = TypeVar("Details", bound="HeartbeatDetails")


class _NoDefinition:
    """Stands where a class has no definition of its own, and says why."""

    def __get__(self, instance: object, owner: type[App]) -> NoReturn:
        where = f" ({owner._line})" if owner._line else ""  # noqa: SLF001
        raise IncompleteAppError(f"{owner.__qualname__}{where} is no complete app: {owner._why}")  # noqa: SLF001


class App:
    """A durable app: `run()`, or several `@entrypoint` methods, is its plan; `@task` methods do the work.

    The plan is executed again from the start after every interruption, with the results of the tasks that were already
    completed, so it must be deterministic and leave all side effects to tasks. State on `self` reaches no task: each
    call has an instance of its own, perhaps on another machine.
    """

    name: ClassVar[str] = ""
    """By default the class' name with hyphens."""
    version: ClassVar[str] = "1.0.0"
    max_payload_bytes: ClassVar[int] = MAX_PAYLOAD_BYTES
    """Limit of each input and output, in bytes of its JSON. 240 KiB everywhere, and may be set lower."""
    preflight_gate_mode: ClassVar[GateMode] = "off"
    """Whether each run begins with the handler's `preflight_check`, as a task of its own. `"hard"`: a run that isn't
    ready, or whose check fails, fails before its route begins. `"soft"`: it is told in the log, and the run goes on."""
    preflight_gate_entrypoint_modes: ClassVar[Mapping[str, GateMode]] = {}
    """The mode of single entry points, by name."""
    preflight_gate_timeout_seconds: ClassVar[float] = 150
    """How long one attempt of the check may take."""
    preflight_gate_max_attempts: ClassVar[int] = 2
    """How often a check that raises, or takes too long, is made in all."""
    driver_secrets: ClassVar[Collection[str]] = ()
    """Names of the secrets that driver tasks may ask for. On a cluster the App's `spec.secrets` says so as well, with
    `driver: true`: the driver's pod is given no others."""
    definition: ClassVar[AppDefinition] = cast("AppDefinition", _NoDefinition())
    """What the class consists of. Raises IncompleteAppError, an AttributeError, on a class that nothing can be run of:
    without a run() and entry points, or abstract."""
    _line: ClassVar[str] = ""
    _why: ClassVar[str] = "it is what apps derive from"

    if TYPE_CHECKING:

        async def run(self, input: Any) -> Any:
            """The plan. Takes one Input, returns one Output."""

    @override
    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: object) -> None:
        """`abstract=True` marks a class that only others derive from: it isn't checked as a whole and not registered.
        Nor is one without a run() and entry points registered."""
        super().__init_subclass__(**kwargs)
        frame = sys._getframe(1)  # noqa: SLF001
        while frame.f_code.co_name == "__init_subclass__" and frame.f_back is not None:
            frame = frame.f_back
        if not cls.__dict__.get("name"):
            cls.name = kebab_case(cls.__name__)
        cls._line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        cls._why = "it says abstract=True, so only others derive from it"
        if abstract:
            return
        cls._why = NO_ROUTE
        names: Mapping[str, object] = frame.f_locals if frame.f_code.co_name != "<module>" else {}
        definition = define(cls, App, cls.name, cls.version, cls._line, names)
        if definition is not None:
            cls.definition = definition
            AppRegistry.get_instance().register(cls)

    async def on_complete(self) -> None:
        """Called once when the route has ended: with success, failure or cancellation. May call tasks. Override it to
        clean up, and call `await super().on_complete()`."""

    @property
    def context(self) -> AppContext:
        """Ids of the run, and, in tasks, secrets, credentials and state."""
        runtime = current.get()
        if runtime is None:
            return AppContext(self.name, self.version)
        return AppContext(self.name, self.version, run_id=runtime.run_id, correlation_id=runtime.correlation_id)

    @property
    def task_context(self) -> TaskContext:
        """Heartbeats, attempt number and idempotency key of the attempt that executes this task. Raises MisuseError in
        a route."""
        runtime = current.get()
        if runtime is None:
            from application_sdk.app.standalone import detached_task_context

            return detached_task_context(self)
        found: TaskContext = runtime.task_context  # type: ignore[assignment] # the slot doesn't import what fills it
        return found

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named as the app, which names the run in each record and is silent while a route is replayed."""
        from application_sdk.app.log import app_logger

        return app_logger(self.name)

    def now(self) -> datetime:
        """The time, in UTC. In a route: of the last completion that the route has seen."""
        return durable.now()

    def uuid(self) -> uuid.UUID:
        """A random UUID. In a route: the same in every replay."""
        return durable.uuid4()

    def random(self) -> random.Random:
        """A source of random numbers. In a route: it gives the same ones in every replay."""
        return durable.randomness()

    async def sleep(self, seconds: float | timedelta) -> None:
        """Wait. In a route: a durable timer, which survives restarts and has no pod of its own."""
        await durable.sleep(seconds)

    @overload
    def map(
        self,
        task: BoundTask[In, Out],
        items: Iterable[In],
        *,
        limit: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> Coroutine[Any, Any, list[Out]]: ...

    @overload
    def map(
        self, task: BoundTask[In, Out], items: Iterable[In], *, limit: int | None = None, on_error: Literal["collect"]
    ) -> Coroutine[Any, Any, list[Out | TaskFailedError]]: ...

    def map(
        self,
        task: BoundTask[In, Out],
        items: Iterable[In],
        *,
        limit: int | None = None,
        on_error: Literal["raise", "collect"] = "raise",
    ) -> Coroutine[Any, Any, list[Out]] | Coroutine[Any, Any, list[Out | TaskFailedError]]:
        """Call a task for each item: `await self.map(self.fetch, pages, limit=20)`.

        Args:
            task: The task, also with `.options()`.
            items: The inputs of the calls.
            limit: How many calls run at once. None, the default, sets no limit.
            on_error: With "raise", the default, the first failure cancels the other calls. With "collect" all calls
                run, and a failed one has its TaskFailedError in the place of the output.

        Returns:
            The outputs, in the order of the items.

        Raises:
            TaskFailedError: A call has failed, and `on_error` is "raise".
            MisuseError: `task` is no task of the app, or `limit` or `on_error` has a value that makes no sense.
        """
        from application_sdk.app.mapping import map_task

        # No coroutine function: the calls have the line of the one to map(), which no branch has in its stack.
        frame = sys._getframe(1)  # noqa: SLF001
        return map_task(task, items, limit, on_error, frame_line(frame))

    def continue_with(self, input: Input, *, entrypoint: str | None = None) -> NoReturn:
        """End this run and continue as a new one, with an empty ledger and the same correlation id.

        For routes that never end by themselves. `on_complete` runs in the last of the runs only. The call never
        returns.

        Args:
            input: The new run's input.
            entrypoint: The new run's entry point. None, the default, stands for this run's.

        Raises:
            MisuseError: Outside of a route.
        """
        runtime = current.get()
        if runtime is None or not runtime.in_route:
            raise MisuseError("continue_with() ends the route, so it is called in run() or an @entrypoint method only")
        from application_sdk.replay.result import ContinueWith

        raise ContinueWith(input, entrypoint or "")

    async def upload(self, input: UploadInput) -> UploadOutput:
        """Store a file or directory, or copy a stored one to another place or tier. In a route it is a task call, which
        sees no disk but its own. Raises StorageError."""
        output: UploadOutput = await self._move("upload", input)
        return output

    async def download(self, input: DownloadInput) -> DownloadOutput:
        """Put a stored file or directory on this task's disk. In a route it is a task call, whose output the next task
        has on its disk. Raises StorageError."""
        output: DownloadOutput = await self._move("download", input)
        return output

    def unguarded(self) -> AbstractContextManager[None]:
        """`with self.unguarded():` lifts the guard over clocks, chance, environment and I/O in the route.

        What is done there is done again in every replay and may have another result then: it's on you that the tasks
        that are called don't depend on it. No `await` belongs inside.
        """
        from application_sdk.replay.guard import unguarded

        return unguarded()

    def heartbeat(self, *details: HeartbeatDetails) -> None:
        """In a task: say that the work gets on, with details for the next attempt if there are any."""
        self._in_task("heartbeat").heartbeat(*details)

    async def run_in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a task: call a blocking function in a thread, while heartbeats go on."""
        return await self._in_task("run_in_thread").run_in_thread(function, *args, **kwargs)

    @asynccontextmanager
    async def holding_progress(
        self,
        label: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - a promise to the watchdog, which nobody here waits out
    ) -> AsyncIterator[None]:
        """In a task: `async with self.holding_progress("full scan", timeout=7200):` tells the stall watchdog, and all
        who look on, that there will be no progress to see for up to `timeout` seconds. `label` says what is done."""
        async with self._in_task("holding_progress").holding_progress(label, timeout=timeout):
            yield

    @property
    def run_id(self) -> str:
        """Name of the run; empty outside of one."""
        return self.context.run_id

    @property
    def correlation_id(self) -> str:
        """Shared by a run and those that it continued as."""
        return self.context.correlation_id

    def require(self, value: T | None, name: str, context: str = "") -> T:
        """`value`, which can't be absent here. Raises NonRetryableError, naming it, for None and for empty text."""
        if value is None or value == "":
            where = f" {context}" if context else ""
            raise NonRetryableError(f"{user_line()}: {name} is needed{where}, and is empty. Give it in the input")
        return value

    def is_cancelled(self) -> bool:
        """In a task: whether this attempt should come to an end. See TaskContext.is_cancelled."""
        return self._in_task("is_cancelled").is_cancelled()

    def get_heartbeat_details(self, contract: type[Details]) -> Details | None:
        """In a task: the latest details that this attempt or an earlier one left, or None."""
        return self._in_task("get_heartbeat_details").get_heartbeat_details(contract)

    @property
    def app_state(self) -> NoReturn:
        """What programs for the App Framework share between tasks in memory. Raises NotAvailableError."""
        raise NoSharedStateError(
            f"{user_line()}: self.app_state is memory that tasks share, and here each task has a process of its own. "
            "Return it from the one task and give it to the other in its input, or keep it with "
            "self.context.save_state()"
        )

    async def _move(self, action: Literal["upload", "download"], given: UploadInput | DownloadInput) -> Any:
        runtime = current.get()
        if runtime is not None and runtime.in_route:
            from application_sdk.attempt.builtin_tasks import DOWNLOAD, UPLOAD, request

            return await runtime.call_task(request(UPLOAD if action == "upload" else DOWNLOAD, given, user_line()))
        return await getattr(self.context.storage, action)(given)

    def _in_task(self, action: str) -> TaskContext:
        runtime = current.get()
        if runtime is not None and runtime.in_route:
            raise MisuseError(f"{user_line()}: self.{action}() in the route, which only plans: use it in a @task")
        return self.task_context


def _of_the_run(name: str) -> str:
    """What an input says of the run that it is given to; empty outside of one."""
    runtime = current.get()
    if runtime is None:
        return ""
    return runtime.correlation_id if name == "correlation_id" else runtime.run_id


OfTheRun.ask = staticmethod(_of_the_run)


class NoSharedStateError(NotAvailableError, AttributeError):
    """Memory was asked for that tasks would share."""
