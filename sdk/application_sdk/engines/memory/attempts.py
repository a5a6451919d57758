"""Runs the body of a task for the memory engine: here and now, in an event loop of its own."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from application_sdk.attempt.attempt import Attempt, AttemptResult
from application_sdk.attempt.state import AttemptState, StateSnapshot
from application_sdk.attempt.task_context import AttemptInfo, FilesPlace
from application_sdk.execution.engine import ScheduledCall
from application_sdk.wire import state as rules
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input, Output
    from application_sdk.execution.definition import AppDefinition, RunInfo


NAMESPACE: Final = "test"

StandIn: TypeAlias = "Callable[[Any], Output | Awaitable[Output]]"
"""Takes a task's input in place of its body."""


class AttemptRunner:
    """Runs attempts of one app's tasks, one at a time."""

    def __init__(
        self,
        app_class: type,
        info: RunInfo,
        stand_ins: Mapping[str, StandIn] | None = None,
        files: FilesPlace | None = None,
        state: dict[str, JSONObject] | None = None,
    ) -> None:
        self._app_class = app_class
        self._definition: AppDefinition = app_class.definition  # type: ignore[attr-defined] # typed as `type` below `app`
        self._stand_ins = stand_ins or {}
        self._info = info
        self._files = files
        self._state: dict[str, JSONObject] = {} if state is None else state
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, call: ScheduledCall, attempt: int, heartbeats: dict[str, JSONObject]) -> AttemptResult:
        """The end of one attempt. `heartbeats` keeps each call's latest details for its next attempt."""
        result = self.execute(call, attempt, heartbeats)
        return self._keep(result) if result.state else result

    def execute(self, call: ScheduledCall, attempt: int, heartbeats: dict[str, JSONObject]) -> AttemptResult:
        """Run the body. What it has saved isn't kept yet."""
        info = AttemptInfo(
            run_id=self._info.run_id,
            correlation_id=self._info.correlation_id or self._info.run_id,
            task=call.task,
            attempt=attempt,
            idempotency_key=f"{self._info.uid}/{call.key}",
            policy=call.policy,
            max_output_bytes=self._info.max_payload_bytes,
            heartbeat=heartbeats.get(call.key),
            namespace=NAMESPACE,
            run_uid=self._info.uid,
            files=self._files,
            own_disk=True,
        )
        definition = self._definition.task(call.task)
        stand_in = self._stand_ins.get(call.task)
        if stand_in is not None:
            definition = replace(definition, function=_body_of(stand_in), is_async=True)
        state = AttemptState(StateSnapshot(dict(self._state)))
        body = Attempt(definition, self._app_class(), info, _LatestHeartbeat(call.key, heartbeats), state=state)
        return self._run(body, call.input)

    def close(self) -> None:
        """Release the event loop."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _keep(self, result: AttemptResult) -> AttemptResult:
        """Keep what a successful attempt saved. Attempts come one at a time, so none is in conflict with another."""
        after = rules.applied(result.state, cast("Mapping[str, JSON]", self._state))
        excess = rules.excess(after)
        if excess:
            return AttemptResult(error=ErrorFields(type=rules.TOO_LARGE, message=excess, retryable=False))
        self._state.clear()
        self._state.update(cast("dict[str, JSONObject]", after))
        return result

    def _run(self, body: Attempt, payload: JSONObject) -> AttemptResult:
        # The test that runs this may itself be running in an event loop; the body gets one of its own beside it.
        outer = events._get_running_loop()  # noqa: SLF001
        events._set_running_loop(None)  # noqa: SLF001
        try:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            task = self._loop.create_task(body.run(payload), context=contextvars.Context())
            return self._loop.run_until_complete(task)
        finally:
            events._set_running_loop(outer)  # noqa: SLF001


def _body_of(stand_in: StandIn) -> Callable[[object, Input], Coroutine[object, None, Output]]:
    async def body(app: object, given: Input) -> Output:
        made = stand_in(given)
        return await made if isinstance(made, Awaitable) else made

    return body


class _LatestHeartbeat:
    """Keeps the latest heartbeat details of one call."""

    def __init__(self, key: str, heartbeats: dict[str, JSONObject]) -> None:
        self._key = key
        self._heartbeats = heartbeats

    def heartbeat(self, details: JSONObject) -> None:
        self._heartbeats[self._key] = details

    def progress(self, progress: ProgressFields) -> None:
        pass
