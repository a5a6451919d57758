"""Executes one execution of a route: joins rules, event loop and guard, and drives them with an engine's completions.

Drivers, the local engine and the test kit call `run_route`. What the app's code does wrong comes back as a value; only
an engine's own errors are raised.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.contracts.size import check_size
from application_sdk.errors import AppNotFoundError, RouteDeadlockError, RouteInterrupt
from application_sdk.execution import current, secret_leaks
from application_sdk.execution.engine import CANCEL_KEY, Completion, Engine
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.preflight_mode import mode_of_run
from application_sdk.execution.source_lines import waiting_line
from application_sdk.replay import identity
from application_sdk.replay.divergence import Disagreement, divergence_message
from application_sdk.replay.guard import guarding
from application_sdk.replay.loop import RouteTask
from application_sdk.replay.result import ContinueWith, RouteResult, stalled
from application_sdk.replay.route import MissingCall, Route, UnexpectedCompletion
from application_sdk.replay.runtime import RouteRuntime
from application_sdk.replay.yielding import NoWatch, YieldWatch
from application_sdk.wire.fields import KNOWN_REPLAY_RULES, REPLAY_RULES, ErrorFields

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Protocol

    from application_sdk.contracts.base import Input, Output
    from application_sdk.execution.current import TaskRequest
    from application_sdk.execution.definition import AppDefinition, EntrypointDefinition, RunInfo
    from application_sdk.wire.digest import JSONObject

    class _App(Protocol):
        async def on_complete(self) -> None: ...


_FILES_GO = frozenset({"Succeeded", "Cancelled", "Continued"})
"""Ends with which transient files go. Those of a failed run stay: to be looked into, and to go on with."""
ROOM_FOR_DEFAULTS = 16 * 1024
"""Bytes that defaults may add to a run's input of the largest size."""
_CLEANUP_ROUNDS = 100
"""How often what is left of an ended route is cancelled again: code that won't end is dropped after that."""


def run_route(
    app_class: type,
    entrypoint: str | None,
    input_json: JSONObject,
    engine: Engine,
    info: RunInfo,
    watch: YieldWatch | NoWatch | None = None,
) -> RouteResult:
    """Execute a route until it ends, or can't go on without a person. None stands for the default entry point. `watch`
    is told when the route is at work.

    Blocks. Raises what the engine raises, and KeyboardInterrupt.
    """
    definition: AppDefinition = app_class.definition  # type: ignore[attr-defined] # `app` is a layer above
    rules = REPLAY_RULES if info.replay_rules is None else info.replay_rules
    if rules not in KNOWN_REPLAY_RULES:
        return stalled(
            "LedgerUnreadable",
            f"This run began under version {rules} of the replay rules, and this SDK knows versions "
            f"{', '.join(map(str, KNOWN_REPLAY_RULES))}. Use an image with the SDK that the run began with.",
        )
    info = replace(info, max_payload_bytes=min(info.max_payload_bytes, definition.max_payload_bytes))
    try:
        chosen = definition.entrypoint(entrypoint)
    except AppNotFoundError as error:
        return stalled("EntrypointNotFound", f"{error}. Correct spec.entrypoint")
    try:
        given, input_json = _begin(chosen, input_json, engine, replace(info, replay_rules=rules))
    except (ContractValidationError, secret_leaks.SecretLeakError) as error:
        return stalled("InvalidInput", f"The run's input doesn't fit {definition.entry}, {chosen.name}.\n{error}")
    return RouteExecution(app_class, chosen, engine, info, watch or NoWatch()).run(given, input_json)


def _begin(
    entrypoint: EntrypointDefinition, input_json: JSONObject, engine: Engine, info: RunInfo
) -> tuple[Input, JSONObject]:
    """The run's input, read and as JSON. What defaults fill in is put on record once: the code, the clock or chance may
    give another default to the next execution. Raises ContractValidationError."""
    if info.replay_rules != 1:
        input_json = engine.begun_with() or input_json
    contract = entrypoint.input_type
    # guard: input-path-on-cluster - a path of the submitting machine means nothing in a pod
    given = decode(contract, input_json, paths="keep" if info.own_disk else "refuse")
    check_size(input_json, info.max_payload_bytes, contract=contract.__name__)
    if info.replay_rules == 1:
        return given, input_json
    completed = encode(given, contract)
    if completed != input_json:
        # What was given fits, so its defaults mustn't be what makes it too large.
        check_size(completed, info.max_payload_bytes + ROOM_FOR_DEFAULTS, contract=contract.__name__)
        secret_leaks.check(completed, "the run's input")
        # Before any call: a crash here leaves a run that has done nothing, so its next execution may fill in
        # other defaults.
        # guard: input-recorded - a default that was computed at the start must be the same in replay
        engine.begin(completed)
    return given, completed


class RouteExecution:
    """One execution of a route, from its first step to its end or the engine's."""

    def __init__(
        self,
        app_class: type,
        entrypoint: EntrypointDefinition,
        engine: Engine,
        info: RunInfo,
        watch: YieldWatch | NoWatch,
    ) -> None:
        self._app_class = app_class
        self._entrypoint = entrypoint
        self._engine = engine
        self._info = info
        self._watch = watch
        self._route = Route(
            entrypoint.name, engine.history_length(), REPLAY_RULES if info.replay_rules is None else info.replay_rules
        )
        self._runtime = RouteRuntime(self._route, info)
        self._loop = self._runtime.loop
        self._arrived: deque[Completion] = deque()
        self._gate: RouteTask[Output] | None = None
        self._plan: RouteTask[Output] | None = None
        self._deadlock: RouteDeadlockError | None = None
        self._ended = ""
        self._in_flight_checked = False

    def run(self, given: Input, input_json: JSONObject) -> RouteResult:
        context = contextvars.copy_context()
        context.run(current.enter, self._runtime)
        context.run(identity.lineage.set, identity.ROOT)
        with guarding(self._app_class):
            try:
                main = self._loop.create_task(
                    self._main(given, self._gate_of(input_json)), name="route", context=context
                )
                self._loop.hide(main)
                return self._drive(main)
            except UnexpectedCompletion as disagreement:
                found = disagreement.completion
                return self._diverged(found.key, found.task, self._route.consumed)
            except MissingCall as disagreement:
                return self._diverged(disagreement.key)
            except RouteDeadlockError as error:
                return RouteResult("Failed", error=error_fields(error))
            except RouteInterrupt as interrupt:
                return stalled("NonDeterministicRun", str(interrupt))
            finally:
                self._end()

    # The two rules at work: idle, then one delivery

    def _drive(self, main: RouteTask[RouteResult]) -> RouteResult:
        while True:
            with self._loop.running():
                self._go_on(main)
            if main.done():
                result = main.result()
                self._ended = _in_words(result)
                self._check_rest_of_past()
                self._check_in_flight()
                return result
            self._deliver(self._next())

    def _go_on(self, main: RouteTask[RouteResult]) -> None:
        """Turn the loop until the engine is needed: while the past is at hand there is nothing to do for it."""
        self._turn()
        while not main.done():
            if not self._route.waiting:
                # Before any further delivery: so it happens at the same place in every execution.
                self._break_deadlock()
            elif self._arrived and self._route.replaying:
                self._deliver(self._arrived.popleft())
            else:
                return
            self._turn()

    def _turn(self) -> None:
        self._loop.quiet = self._route.replaying
        # guard: route-blocks-loop - a route that computes without awaiting is reported by this watch alone
        self._watch.enter("the route")
        try:
            while True:
                try:
                    self._loop.turn()
                except SystemExit:
                    continue  # It ended the asyncio Task that raised it, as any exception does.
                break
        finally:
            self._watch.leave()
        if self._loop.interrupt is not None:
            raise self._loop.interrupt

    def _next(self) -> Completion:
        if not self._route.replaying:
            self._check_in_flight()
        abandoned = self._route.take_abandoned()
        if abandoned:
            # Before anything is scheduled, which may wait for their places.
            self._engine.abandon(abandoned)
        calls = self._route.take_calls()
        if calls:
            self._engine.schedule(calls)
        if not self._arrived:
            self._arrived.extend(self._engine.receive())
        return self._arrived.popleft()

    def _deliver(self, completion: Completion) -> None:
        self._loop.advance(completion.at - self._info.started_at)
        if completion.key == CANCEL_KEY:
            self._route.cancel()
            for task in (self._gate, self._plan):
                if task is not None and not task.done():
                    task.cancel("the run was cancelled")
            return
        self._route.deliver(completion)

    def _check_rest_of_past(self) -> None:
        """The route is through: what the ledger still holds must at least be of calls that it has made."""
        while self._route.replaying:
            if not self._arrived:
                self._arrived.extend(self._engine.receive())
            completion = self._arrived.popleft()
            if completion.key == CANCEL_KEY:
                self._route.cancel()
                continue
            self._route.consume_unseen(completion)

    def _check_in_flight(self) -> None:
        """Raise MissingCall if a call that a previous execution left in flight hasn't been made again.

        Called once, when the ledger is consumed and before anything new is scheduled.
        """
        if self._in_flight_checked:
            return
        self._in_flight_checked = True
        for key in self._engine.in_flight():
            if not self._route.knows(key):
                # guard: in-flight-called-again - a call of a previous driver that this route doesn't make means
                # divergence
                raise MissingCall(key)

    def _break_deadlock(self) -> None:
        if self._deadlock is not None or self._plan is None or self._plan.done():
            raise self._deadlock or _deadlock(self._loop.unfinished_tasks())
        self._deadlock = _deadlock(self._loop.unfinished_tasks())
        self._plan.cancel()

    def _gate_of(self, input_json: JSONObject) -> TaskRequest | None:
        """The call that has to succeed before the plan begins, if this run has one."""
        definition: AppDefinition = self._app_class.definition  # type: ignore[attr-defined]
        if self._route.replaying:
            self._arrived.extend(self._engine.receive())
        past = {completion.key for completion in self._arrived}
        mode = mode_of_run(definition.gate, self._entrypoint.name, self._route.rules, self._engine, past)
        if mode == "off":
            return None
        from application_sdk.replay.preflight import gate_call

        return gate_call(definition.gate, self._entrypoint.name, mode, input_json)

    # What the route does, inside its loop

    async def _main(self, given: Input, gate: TaskRequest | None) -> RouteResult:
        try:
            app = self._app_class()
        except Exception as error:  # noqa: BLE001 - the user's __init__
            return RouteResult("Failed", error=error_fields(error))
        result = None if gate is None else await self._pass(gate)
        if result is None:
            result = await self._follow_plan(app, given)
        if result.outcome != "Continued":
            result = await self._complete(app, result)
        if self._runtime.files_made and result.outcome in _FILES_GO:
            await self._clean_up_files(result)
        return result

    async def _pass(self, gate: TaskRequest) -> RouteResult | None:
        """The end of a run that the gate doesn't let pass; None when the plan may begin."""
        from application_sdk.replay.preflight import refused

        self._gate = self._loop.create_task(self._runtime.call_task(gate), name="preflight")
        await asyncio.wait([self._gate])
        if self._gate.cancelled():
            return RouteResult("Cancelled")
        error = self._gate.exception()
        if isinstance(error, RouteInterrupt):
            raise error
        if error is None or gate.input.mode == "soft":  # type: ignore[attr-defined] # a GateInput, loaded with a gate only
            return None
        return RouteResult("Failed", error=refused(error))

    async def _follow_plan(self, app: object, given: Input) -> RouteResult:
        plan = cast("Coroutine[Any, Any, Output]", self._entrypoint.function(app, given))
        self._plan = self._loop.create_task(plan, name=self._entrypoint.name)
        await asyncio.wait([self._plan])
        # Whatever the collector has found by now or hasn't, here all of it is closed, in one order.
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
        wish = _wish_to_continue(error)
        if wish is not None:
            return self._continued(wish)
        if isinstance(error, RouteInterrupt):
            raise error
        return RouteResult("Failed", error=_failure(error))

    def _output(self, returned: Output) -> RouteResult:
        self._runtime.refuse_unawaited()
        self._runtime.tell_given_up()
        contract = self._entrypoint.output_type
        try:
            output = encode(self._runtime.portable(returned), contract)
            check_size(output, self._info.max_payload_bytes, contract=contract.__name__)
        except ContractValidationError as error:
            return RouteResult("Failed", error=error_fields(error))
        return RouteResult("Succeeded", output=output)

    def _continued(self, wish: ContinueWith) -> RouteResult:
        definition: AppDefinition = self._app_class.definition  # type: ignore[attr-defined]
        try:
            target = definition.entrypoint(wish.entrypoint or self._entrypoint.name)
            payload = encode(self._runtime.portable(wish.input), target.input_type)
            check_size(payload, self._info.max_payload_bytes, contract=target.input_type.__name__)
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
        """Have the transient files of this run deleted, but for those that are handed on. Whatever comes of that, the
        run has ended as it did."""
        from application_sdk.attempt.builtin_tasks import cleanup
        from application_sdk.contracts.references import stored_keys

        handed_on = result.output if result.input is None else result.input
        cleaning = self._loop.create_task(self._runtime.call_task(cleanup(stored_keys(handed_on))), name="clean-up")
        await asyncio.wait([cleaning])
        if not cleaning.cancelled() and isinstance(error := cleaning.exception(), RouteInterrupt):
            raise error

    # The end of this execution

    def _diverged(self, key: str, task: str = "", position: int | None = None) -> RouteResult:
        found = Disagreement(
            position=position,
            task=task,
            key=key,
            recorded=self._engine.recorded(key),
            outstanding=self._route.outstanding(),
            ended=self._ended,
        )
        return stalled("NonDeterministicRun", divergence_message(found))

    def _end(self) -> None:
        """Close what is left of the route, its clean-up code included; nothing it calls is made any more."""
        self._runtime.close()
        for _ in range(_CLEANUP_ROUNDS):
            self._loop.close_collected_generators()
            left = self._loop.unfinished_tasks()
            generators = self._loop.open_generators()
            if not left and not generators:
                break
            for task in left:
                task.cancel()
            self._turn_quietly()
        for task in self._loop.unfinished_tasks():
            task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it was told to end often enough
        self._loop.close()

    def _turn_quietly(self) -> None:
        self._loop.quiet = True
        self._loop.interrupt = None
        try:
            with self._loop.running():
                self._loop.turn()
        except (RouteInterrupt, SystemExit):
            pass


def _failure(error: BaseException) -> ErrorFields:
    """What is kept of a route's exception. A group of one, as a TaskGroup raises it, is told by what is in it."""
    fields = error_fields(error)
    inner = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    if inner is not error:
        said = error_fields(inner)
        fields["type"], fields["message"] = said["type"], said["message"]
    return fields


def _wish_to_continue(error: BaseException) -> ContinueWith | None:
    if isinstance(error, BaseExceptionGroup):
        return next((wish for member in error.exceptions if (wish := _wish_to_continue(member)) is not None), None)
    return error if isinstance(error, ContinueWith) else None


def _in_words(result: RouteResult) -> str:
    if result.error is None:
        return result.outcome.lower()
    return f"{result.outcome.lower()}, {result.error['type']}: {result.error['message']}"


def _deadlock(waiting: list[RouteTask[Any]]) -> RouteDeadlockError:
    lines = [line for task in waiting if (line := waiting_line(task.get_coro())) is not None]
    where = ", ".join(dict.fromkeys(lines)) or "its end"
    return RouteDeadlockError(
        f"The route waits at {where}, but no task and no timer is outstanding that could wake it: what it awaits is "
        f"never set, put or released"
    )
