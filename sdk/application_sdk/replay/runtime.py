"""What stands behind `self` in a route: task calls, timers, time and chance that a replay repeats.

`replay.run` makes one for each execution of a route and puts it into `execution.current` for the route's context.
It joins the rules (`replay.route`) to the event loop (`replay.loop`); it talks to no engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from datetime import UTC, datetime
from random import Random
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar
from uuid import UUID

from typing_extensions import override

from application_sdk.attempt.files import references_possible
from application_sdk.contracts.codec import decode
from application_sdk.contracts.identity_form import encode_call
from application_sdk.contracts.size import check_size
from application_sdk.errors import MisuseError, RouteViolation, TaskFailedError
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import Completion
from application_sdk.execution.source_lines import user_line
from application_sdk.replay.identity import consumed, lineage
from application_sdk.replay.limiter import Limiter, Rate
from application_sdk.replay.loop import RouteLoop
from application_sdk.replay.route import NO_POLICY, CallRequest, Route
from application_sdk.wire.digest import JSON, JSONObject, digest, digest_and_size
from application_sdk.wire.fields import MAX_SECONDS, PodFields
from application_sdk.wire.names import TIMER_TASK
from application_sdk.wire.size import LARGEST_GROWTH

if TYPE_CHECKING:
    from application_sdk.contracts.base import Output
    from application_sdk.execution.current import TaskRequest
    from application_sdk.execution.definition import TaskDefinition

Model = TypeVar("Model")

_log = logging.getLogger("apprun.route")

MOVE_IT: Final = "Move this into a @task"
TIMER_DIGITS: Final = 3
"""Timers count in milliseconds, so that differences of the loop's times have one value."""


class RouteRuntime:
    """The `current.Runtime` of one execution of a route, and the `Timers` of its loop."""

    in_route = True

    def __init__(self, route: Route, info: RunInfo) -> None:
        self.route = route
        self.loop = RouteLoop(self, self.refuse)
        self.info = info
        self.run_id = info.run_id
        self.correlation_id = info.correlation_id or info.run_id
        self.closed = False
        """Whether this execution is over: nothing is called or waited for any more."""
        self._random = Random(f"{info.uid}/random")
        self._hidden = Random(f"{info.uid}/module")
        self._uuids = Random(f"{info.uid}/uuid")
        self._timers: dict[int, str] = {}  # By id: timer handles that look alike are equal.
        self._limiters: dict[str, Limiter] = {}
        self._unawaited: dict[int, TaskCall] = {}
        # Loaded now, and not from within the route: its code must not be what loads modules.
        self._references: ModuleType | None = None
        if references_possible():
            from application_sdk.contracts import references

            self._references = references
        self.files_made = False
        """Whether a task has stored a file that goes with the run."""

    @property
    def replaying(self) -> bool:
        return self.closed or self.route.replaying

    @property
    def task_context(self) -> object:
        raise MisuseError(
            f"{user_line()}: task_context in the route. Heartbeats and attempts belong to tasks: use it in a @task"
        )

    # Tasks

    @property
    def storage(self) -> object:
        raise MisuseError(f"{user_line()}: context.storage in the route, which only plans: move files in a @task")

    def call_task(self, request: TaskRequest) -> Coroutine[object, None, Output]:
        payload, counted = encode_call(self.portable(request.input), request.definition.input_type)
        input_digest, size = digest_and_size(payload)
        if self.route.rules == 1:
            counted = payload
        elif counted is not payload:
            input_digest = digest(counted)
        limit = self.info.max_payload_bytes + request.definition.envelope_bytes
        if size * LARGEST_GROWTH > limit:
            check_size(payload, limit, contract=request.definition.input_type.__name__)
        call = TaskCall(self, request, payload, counted, input_digest)
        self._unawaited[id(call)] = call
        return call

    async def execute(
        self, request: TaskRequest, payload: JSONObject, counted: JSONObject, input_digest: str
    ) -> Output:
        """The body of a `TaskCall`."""
        self._check_open()
        definition = request.definition
        future: asyncio.Future[Completion] = self.loop.create_future()

        def deliver(completion: Completion) -> None:
            if not future.done():
                future.set_result(completion)

        wish = CallRequest(
            role="task",
            task=definition.name,
            input=payload,
            input_digest=input_digest,
            line=request.line,
            policy=definition.policy,
            pod=definition.settings.pod,
            keyed_by=request.keyed_by,
            counted=counted,
            runs_in=definition.settings.runs_in,
        )
        limiter = self._limiter(definition)
        if limiter is None:
            completion = await self._completion(wish, deliver, future)
        else:
            async with limiter.call():
                self._check_open()
                completion = await self._completion(wish, deliver, future)
        lineage.set(consumed(definition.name, input_digest))
        if completion.outcome == "Succeeded":
            self.files_made = self.files_made or self._stored_files(completion.output)
            # A route reads no file, and each attempt drops the paths of others. What the route passes on has to be the
            # same on every engine and in every replay, since a call's identity rests on it.
            return decode(definition.output_type, completion.output, paths="keep")
        if completion.outcome == "Cancelled":
            raise asyncio.CancelledError(f"task {definition.name!r} was cancelled")
        raise _failure(definition.name, completion)

    async def _completion(
        self, wish: CallRequest, deliver: Callable[[Completion], None], future: asyncio.Future[Completion]
    ) -> Completion:
        try:
            call = self.route.make(wish, deliver)
        except MisuseError as error:
            self._violate(str(error))
        try:
            return await future
        except asyncio.CancelledError:
            self.route.abandon(call.key)
            raise

    def _limiter(self, definition: TaskDefinition) -> Limiter | None:
        """What the calls of a task wait for, if it has a limit: one for the whole run."""
        settings = definition.settings
        if settings.limit is None and settings.rate is None:
            return None
        limiter = self._limiters.get(definition.name)
        if limiter is None:
            rate = None if settings.rate is None else Rate.parse(settings.rate)
            limiter = self._limiters[definition.name] = Limiter(self.loop, settings.limit, rate)
        return limiter

    def portable(self, value: Model) -> Model:
        """`value` without what means something on this disk only: a call's identity rests on it."""
        if self._references is None:
            return value
        found: Model = self._references.portable(value)
        return found

    def _stored_files(self, output: JSON) -> bool:
        return self._references is not None and bool(self._references.has_transient(output))

    def begun(self, call: TaskCall) -> None:
        """A call is awaited."""
        self._unawaited.pop(id(call), None)

    # Timers of the loop

    def start(self, handle: asyncio.TimerHandle, seconds: float) -> None:
        if self.closed:
            return
        # Infinity, as in `asyncio.timeout(inf)`, is a time that never comes, and so is a century on every engine.
        # guard: timer-maximum - datetime overflows on a timer of thousands of years
        seconds = min(max(round(seconds, TIMER_DIGITS), 10**-TIMER_DIGITS), MAX_SECONDS)

        def deliver(completion: Completion) -> None:
            self._timers.pop(id(handle), None)
            self.loop.fire(handle)

        payload: JSONObject = {"seconds": seconds}
        call = self.route.make(
            CallRequest(
                role="timer",
                task=TIMER_TASK,
                input=payload,
                input_digest=digest(payload),
                line=user_line(),
                policy=NO_POLICY,
                pod=PodFields(),
                seconds=seconds,
            ),
            deliver,
        )
        self._timers[id(handle)] = call.key

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        key = self._timers.pop(id(handle), None)
        if key is not None:
            self.route.abandon(key)

    # Time, chance and waiting

    def timestamp(self) -> float:
        """The route's time, in seconds since the epoch."""
        return self.info.started_at + self.loop.time()

    def elapsed(self) -> float:
        """The route's time, in seconds since the run began."""
        return self.loop.time()

    @property
    def started_at(self) -> float:
        """When the run began, in seconds since the epoch."""
        return self.info.started_at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def uuid(self) -> UUID:
        return UUID(int=self._uuids.getrandbits(128), version=4)

    def random(self) -> Random:
        return self._random

    def hidden_chance(self) -> Random:
        """Behind the functions of the module `random`: a `random.seed()` of the route's concerns them alone."""
        return self._hidden

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_condition(self, condition: Callable[[], bool], timeout: float | None) -> None:  # noqa: ASYNC109
        async with asyncio.timeout(timeout):
            await self.loop.wait_for_condition(condition)

    def refuse(self, what: str, instead: str = MOVE_IT) -> NoReturn:
        """End this execution: the route did what a replay can't repeat. No user code can catch it."""
        self._violate(f"{user_line()}: {what}. {instead}")

    def refuse_unawaited(self) -> None:
        """End this execution if there are calls that nobody awaited: the plan isn't what it looks like."""
        forgotten = [f"{call.request.definition.name}() at {call.request.line}" for call in self._unawaited.values()]
        if not forgotten:
            return
        self._violate(
            f"Called but never awaited, so never run: {', '.join(forgotten)}. Write `await` before each, or give it to "
            f"asyncio.gather() or asyncio.create_task() and await it"
        )

    def tell_given_up(self) -> None:
        """Say which calls the route leaves behind: as in `asyncio.run`, what nobody waits for is given up."""
        left = [f"{call.task}() at {call.line}" for call in self.route.outstanding() if call.role == "task"]
        if left:
            _log.warning(
                "The route has returned, and nobody awaited %s: given up, whether it has run or not. Await it before "
                "the route returns, or cancel it",
                ", ".join(left),
            )

    def close(self) -> None:
        """This execution is over."""
        self.closed = True
        self._unawaited.clear()

    def _violate(self, message: str) -> NoReturn:
        violation = RouteViolation(message)
        if self.loop.interrupt is None:
            self.loop.interrupt = violation
        raise violation

    def _check_open(self) -> None:
        if self.closed:
            raise asyncio.CancelledError("the route has ended")


class TaskCall(Coroutine[Any, None, "Output"]):
    """A task call, made when it is first awaited or wrapped into an asyncio Task. A coroutine in all but type."""

    __slots__ = ("_counted", "_inner", "_input_digest", "_payload", "_runtime", "request")

    def __init__(
        self,
        runtime: RouteRuntime,
        request: TaskRequest,
        payload: JSONObject,
        counted: JSONObject,
        input_digest: str,
    ) -> None:
        self._runtime = runtime
        self._payload = payload
        self._counted = counted
        self._input_digest = input_digest
        self._inner: Coroutine[Any, None, Output] | None = None
        self.request = request

    def _begin(self) -> Coroutine[Any, None, Output]:
        if self._inner is None:
            self._runtime.begun(self)
            self._inner = self._runtime.execute(self.request, self._payload, self._counted, self._input_digest)
        return self._inner

    @override
    def __await__(self) -> Generator[Any, None, Output]:
        return self._begin().__await__()

    @override
    def send(self, value: None) -> Any:
        return self._begin().send(value)

    @override
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        error = typ if isinstance(typ, BaseException) else (val if isinstance(val, BaseException) else typ())
        return self._begin().throw(error)

    @override
    def close(self) -> None:
        if self._inner is None:
            self._runtime.begun(self)
        else:
            self._inner.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith(("_", "cr_")):
            raise AttributeError(name)  # What tools ask of a coroutine.
        task = self.request.definition.name
        raise NotAwaitedError(
            f"{user_line()}: {name!r} of {task}(), which was called at {self.request.line} and not awaited, so there "
            f"is no {self.request.definition.output_type.__name__} yet. Write `await` before the call"
        )

    @override
    def __repr__(self) -> str:
        return f"<{self.request.definition.name}(), called at {self.request.line}, not awaited>"


class NotAwaitedError(MisuseError, AttributeError):
    """A call was taken for its output."""


def _failure(task: str, completion: Completion) -> TaskFailedError:
    error = completion.error
    if error is None:
        error = {"type": "Unknown", "message": "the ledger has no error for this failure"}
    failure = TaskFailedError(
        task,
        error_type=error["type"],
        error_message=error["message"],
        traceback=error.get("traceback", ""),
        attempts=completion.attempts,
        retryable=error.get("retryable", True),
        key=completion.key,
    )
    if failure.traceback:
        failure.add_note(f"In the task:\n{failure.traceback}")
    return failure
