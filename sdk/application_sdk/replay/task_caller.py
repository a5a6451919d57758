"""Makes the task calls of a route: encodes the input, waits for the completion, decodes the output.

It joins the rules (`replay.route`) to the event loop (`replay.loop`); it knows no engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from application_sdk.attempt.files import references_possible
from application_sdk.contracts.codec import decode
from application_sdk.contracts.identity_form import encode_call
from application_sdk.contracts.size import check_size
from application_sdk.errors import MisuseError, TaskFailedError
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import Completion
from application_sdk.replay.identity import consumed, lineage
from application_sdk.replay.limiter import Limiter, Rate
from application_sdk.replay.loop import RouteLoop
from application_sdk.replay.route import CallRequest, Route
from application_sdk.replay.task_call import TaskCall
from application_sdk.replay.violations import Violations
from application_sdk.wire.digest import JSON, JSONObject, digest, digest_and_size
from application_sdk.wire.size import LARGEST_GROWTH

if TYPE_CHECKING:
    from application_sdk.contracts.base import Output
    from application_sdk.execution.current import TaskRequest
    from application_sdk.execution.definition import TaskDefinition

Model = TypeVar("Model")

_log = logging.getLogger("apprun.route")


class TaskCaller:
    """The task calls of one execution of a route."""

    def __init__(self, route: Route, info: RunInfo, loop: RouteLoop, violations: Violations) -> None:
        self._route = route
        self._info = info
        self._loop = loop
        self._violations = violations
        self._limiters: dict[str, Limiter] = {}
        self._unawaited: dict[int, TaskCall] = {}
        # Loaded now, and not from within the route: its code must not be what loads modules.
        self._references: ModuleType | None = None
        if references_possible():
            from application_sdk.contracts import references

            self._references = references
        self.closed = False
        """Whether this execution is over: no call is made or waited for any more."""
        self.files_stored = False
        """Whether a task has stored a file that is deleted with the run."""

    def call(self, request: TaskRequest) -> TaskCall:
        """The call of a task, to be awaited. Its input is read now, so that later changes of it don't count.

        Raises:
            ContractValidationError: The input can't be stored.
            PayloadTooLargeError: The input is larger than the limit.
        """
        payload, counted = encode_call(self.portable(request.input), request.definition.input_type)
        input_digest, size = digest_and_size(payload)
        if self._route.rules == 1:
            counted = payload
        elif counted is not payload:
            input_digest = digest(counted)
        limit = self._info.max_payload_bytes + request.definition.envelope_bytes
        if size * LARGEST_GROWTH > limit:
            check_size(payload, limit, contract=request.definition.input_type.__name__)
        body = partial(self._execute, request, payload, counted, input_digest)
        call = TaskCall(request, body, self._begun)
        self._unawaited[id(call)] = call
        return call

    def portable(self, value: Model) -> Model:
        """`value` without what means something on this disk only: a call's identity rests on it."""
        if self._references is None:
            return value
        portable: Model = self._references.portable(value)
        return portable

    def refuse_unawaited(self) -> None:
        """End this execution if there are calls that were never awaited: the plan isn't what it looks like.

        Raises:
            RouteViolation: There are such calls; the message lists them.
        """
        calls = [f"{call.request.definition.name}() at {call.request.line}" for call in self._unawaited.values()]
        if not calls:
            return
        self._violations.violate(
            f"Called but never awaited, so never run: {', '.join(calls)}. Write `await` before each, or give it to "
            f"asyncio.gather() or asyncio.create_task() and await it"
        )

    def warn_of_abandoned(self) -> None:
        """Log which calls the route leaves behind: as in `asyncio.run`, those that are not awaited are cancelled."""
        calls = [f"{call.task}() at {call.line}" for call in self._route.outstanding() if call.role == "task"]
        if calls:
            _log.warning(
                "The route has returned, and nobody awaited %s: given up, whether it has run or not. Await it before "
                "the route returns, or cancel it",
                ", ".join(calls),
            )

    def close(self) -> None:
        """Make no call any more: the execution is over."""
        self.closed = True
        self._unawaited.clear()

    def _begun(self, call: TaskCall) -> None:
        self._unawaited.pop(id(call), None)

    async def _execute(
        self, request: TaskRequest, payload: JSONObject, counted: JSONObject, input_digest: str
    ) -> Output:
        self._check_open()
        definition = request.definition
        future: asyncio.Future[Completion] = self._loop.create_future()

        def deliver(completion: Completion) -> None:
            if not future.done():
                future.set_result(completion)

        call_request = CallRequest(
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
            reuse=definition.settings.reuse,
        )
        limiter = self._limiter(definition)
        if limiter is None:
            completion = await self._completion(call_request, deliver, future)
        else:
            async with limiter.call():
                self._check_open()
                completion = await self._completion(call_request, deliver, future)
        lineage.set(consumed(definition.name, input_digest))
        return self._output(definition, completion)

    async def _completion(
        self, request: CallRequest, deliver: Callable[[Completion], None], future: asyncio.Future[Completion]
    ) -> Completion:
        try:
            call = self._route.make(request, deliver)
        except MisuseError as error:
            self._violations.violate(str(error))
        try:
            return await future
        except asyncio.CancelledError:
            self._route.abandon(call.key)
            raise

    def _output(self, definition: TaskDefinition, completion: Completion) -> Output:
        if completion.outcome == "Succeeded":
            self.files_stored = self.files_stored or self._has_stored_files(completion.output)
            # A route reads no file, and each attempt drops the paths of others. What the route passes on has to be the
            # same on every engine and in every replay, since a call's identity rests on it.
            return decode(definition.output_type, completion.output, paths="keep")
        if completion.outcome == "Cancelled":
            raise asyncio.CancelledError(f"task {definition.name!r} was cancelled")
        raise _failure(definition.name, completion)

    def _limiter(self, definition: TaskDefinition) -> Limiter | None:
        """What the calls of a task wait for, if it has a limit: one for the whole run."""
        settings = definition.settings
        if settings.limit is None and settings.rate is None:
            return None
        limiter = self._limiters.get(definition.name)
        if limiter is None:
            rate = None if settings.rate is None else Rate.parse(settings.rate)
            limiter = self._limiters[definition.name] = Limiter(self._loop, settings.limit, rate)
        return limiter

    def _has_stored_files(self, output: JSON) -> bool:
        return self._references is not None and bool(self._references.has_transient(output))

    def _check_open(self) -> None:
        if self.closed:
            raise asyncio.CancelledError("the route has ended")


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
