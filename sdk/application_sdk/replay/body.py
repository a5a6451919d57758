"""The main asyncio Task of a route: preflight check, plan, `on_complete`, clean-up of files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from application_sdk.contracts.codec import encode
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.contracts.size import check_size
from application_sdk.errors import AppNotFoundError, RouteDeadlockError, RouteInterrupt
from application_sdk.execution.error_info import error_fields
from application_sdk.replay.loop import RouteTask
from application_sdk.replay.outcome import deadlock_error, requested_continuation, route_error
from application_sdk.replay.result import ContinueWith, RouteResult
from application_sdk.replay.runtime import RouteRuntime

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Protocol

    from application_sdk.contracts.base import Input, Output
    from application_sdk.execution.current import TaskRequest
    from application_sdk.execution.definition import AppDefinition, EntrypointDefinition

    class _App(Protocol):
        async def on_complete(self) -> None: ...


_FILES_GO = frozenset({"Succeeded", "Cancelled", "Continued"})
"""Outcomes with which transient files are deleted. Those of a failed run stay, for diagnosis and for `resume`."""


class RouteBody:
    """What one execution of a route does inside of its event loop."""

    def __init__(self, app_class: type, entrypoint: EntrypointDefinition, runtime: RouteRuntime) -> None:
        self._app_class = app_class
        self._entrypoint = entrypoint
        self._max_payload_bytes = runtime.info.max_payload_bytes
        self._tasks = runtime.tasks
        self._loop = runtime.loop
        self._preflight_task: RouteTask[Output] | None = None
        self._plan: RouteTask[Output] | None = None
        self._deadlock: RouteDeadlockError | None = None

    def cancel(self) -> None:
        """Cancel the preflight check or the plan, because the run is cancelled. `on_complete` still runs."""
        for task in (self._preflight_task, self._plan):
            if task is not None and not task.done():
                task.cancel("the run was cancelled")

    def break_deadlock(self) -> None:
        """Cancel a plan that waits for nothing outstanding.

        Raises:
            RouteDeadlockError: The plan was cancelled before and still waits, or something else than the plan waits.
        """
        if self._deadlock is not None or self._plan is None or self._plan.done():
            raise self._deadlock or deadlock_error(self._loop.unfinished_tasks())
        self._deadlock = deadlock_error(self._loop.unfinished_tasks())
        self._plan.cancel()

    async def run(self, input: Input, gate: TaskRequest | None) -> RouteResult:
        """Execute the route on an input. `gate` is the call of the preflight check, if the run has one.

        Raises:
            RouteInterrupt: The route did what a replay can't repeat.
        """
        try:
            app = self._app_class()
        except Exception as error:  # noqa: BLE001 - the user's __init__
            return RouteResult("Failed", error=error_fields(error))
        result = None if gate is None else await self._preflight(gate)
        if result is None:
            result = await self._run_plan(app, input)
        if result.outcome != "Continued":
            result = await self._complete(app, result)
        if self._tasks.files_stored and result.outcome in _FILES_GO:
            await self._clean_up_files(result)
        return result

    async def _preflight(self, gate: TaskRequest) -> RouteResult | None:
        """The result of a run that fails its preflight check; None when the plan may begin."""
        from application_sdk.replay.preflight import refused

        self._preflight_task = self._loop.create_task(self._tasks.call(gate), name="preflight")
        await asyncio.wait([self._preflight_task])
        if self._preflight_task.cancelled():
            return RouteResult("Cancelled")
        error = self._preflight_task.exception()
        if isinstance(error, RouteInterrupt):
            raise error
        if error is None or gate.input.mode == "soft":  # type: ignore[attr-defined] # a GateInput, loaded with a gate only
            return None
        return RouteResult("Failed", error=refused(error))

    async def _run_plan(self, app: object, input: Input) -> RouteResult:
        plan = cast("Coroutine[Any, Any, Output]", self._entrypoint.function(app, input))
        self._plan = self._loop.create_task(plan, name=self._entrypoint.name)
        await asyncio.wait([self._plan])
        # The garbage collector runs at another moment in each process, so what it has left open is closed here, in one
        # order.
        await self._loop.close_unreachable_generators()
        return self._result_of(self._plan)

    def _result_of(self, plan: asyncio.Task[Output]) -> RouteResult:
        if plan.cancelled():
            if self._deadlock is not None:
                return RouteResult("Failed", error=error_fields(self._deadlock))
            return RouteResult("Cancelled")
        error = plan.exception()
        if error is None:
            return self._output(plan.result())
        continuation = requested_continuation(error)
        if continuation is not None:
            return self._continued(continuation)
        if isinstance(error, RouteInterrupt):
            raise error
        return RouteResult("Failed", error=route_error(error))

    def _output(self, returned: Output) -> RouteResult:
        self._tasks.refuse_unawaited()
        self._tasks.warn_of_abandoned()
        contract = self._entrypoint.output_type
        try:
            output = encode(self._tasks.portable(returned), contract)
            check_size(output, self._max_payload_bytes, contract=contract.__name__)
        except ContractValidationError as error:
            return RouteResult("Failed", error=error_fields(error))
        return RouteResult("Succeeded", output=output)

    def _continued(self, continuation: ContinueWith) -> RouteResult:
        definition: AppDefinition = self._app_class.definition  # type: ignore[attr-defined]
        try:
            target = definition.entrypoint(continuation.entrypoint or self._entrypoint.name)
            payload = encode(self._tasks.portable(continuation.input), target.input_type)
            check_size(payload, self._max_payload_bytes, contract=target.input_type.__name__)
        except (AppNotFoundError, ContractValidationError) as error:
            return RouteResult("Failed", error=error_fields(error))
        return RouteResult("Continued", input=payload, entrypoint=target.name)

    async def _complete(self, app: object, result: RouteResult) -> RouteResult:
        hook = self._loop.create_task(cast("_App", app).on_complete(), name="on_complete")
        await asyncio.wait([hook])
        error = asyncio.CancelledError() if hook.cancelled() else hook.exception()
        if isinstance(error, RouteInterrupt):
            raise error
        if error is None or result.error is not None:
            return result
        return RouteResult("Failed", error=error_fields(error))

    async def _clean_up_files(self, result: RouteResult) -> None:
        """Delete the run's transient files, except those that its output or the next run refers to.

        A failure of the clean-up doesn't change the result of the run.
        """
        from application_sdk.attempt.builtin_tasks import cleanup
        from application_sdk.contracts.references import stored_keys

        handed_on = result.output if result.input is None else result.input
        cleaning: RouteTask[Output] = self._loop.create_task(
            self._tasks.call(cleanup(stored_keys(handed_on))), name="clean-up"
        )
        await asyncio.wait([cleaning])
        if not cleaning.cancelled() and isinstance(error := cleaning.exception(), RouteInterrupt):
            raise error
