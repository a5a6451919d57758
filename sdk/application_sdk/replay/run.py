"""Executes one execution of a route: joins rules, event loop and guard, and drives them with an engine's completions.

Drivers, the local engine and the test kit call `run_route`. What the app's code does wrong comes back as a value; only
an engine's own errors are raised.
"""

from __future__ import annotations

import contextvars
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from application_sdk.contracts.errors import ContractValidationError
from application_sdk.errors import AppNotFoundError, RouteDeadlockError, RouteInterrupt
from application_sdk.execution import current, secret_leaks
from application_sdk.execution.engine import CANCEL_KEY, Completion, Engine
from application_sdk.execution.error_info import error_fields
from application_sdk.replay import identity
from application_sdk.replay.body import RouteBody
from application_sdk.replay.divergence import Disagreement, divergence_message
from application_sdk.replay.guard import guarding
from application_sdk.replay.loop import RouteTask
from application_sdk.replay.outcome import describe
from application_sdk.replay.preflight_mode import mode_of_run
from application_sdk.replay.result import RouteResult, stalled
from application_sdk.replay.route import MissingCall, Route, UnexpectedCompletion
from application_sdk.replay.run_input import read_input
from application_sdk.replay.runtime import RouteRuntime
from application_sdk.replay.yielding import NoWatch, YieldWatch
from application_sdk.wire.fields import KNOWN_REPLAY_RULES, REPLAY_RULES

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input
    from application_sdk.execution.current import TaskRequest
    from application_sdk.execution.definition import AppDefinition, EntrypointDefinition, RunInfo
    from application_sdk.wire.digest import JSONObject

_CLEANUP_ROUNDS = 100
"""How often the unfinished tasks of an ended route are cancelled. Code that still catches that is dropped."""


def run_route(
    app_class: type,
    entrypoint: str | None,
    input_json: JSONObject,
    engine: Engine,
    info: RunInfo,
    watch: YieldWatch | NoWatch | None = None,
) -> RouteResult:
    """Execute a route until it ends or needs a person. Blocks.

    Args:
        app_class: The app.
        entrypoint: Name of the entry point; None stands for the default one.
        input_json: The run's input.
        engine: Schedules the calls and gives their completions.
        info: What the route knows of its run.
        watch: Reports a route that computes without awaiting. None switches that off.

    Returns:
        How the route ended. What the app's code does wrong is part of it.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Exception: What the engine raises.
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
        input, input_json = read_input(chosen, input_json, engine, replace(info, replay_rules=rules))
    except (ContractValidationError, secret_leaks.SecretLeakError) as error:
        return stalled("InvalidInput", f"The run's input doesn't fit {definition.entry}, {chosen.name}.\n{error}")
    return RouteExecution(app_class, chosen, engine, info, watch or NoWatch()).run(input, input_json)


class RouteExecution:
    """One execution of a route, until the route ends or the engine raises."""

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
        self._body = RouteBody(app_class, entrypoint, self._runtime)
        self._loop = self._runtime.loop
        self._arrived: deque[Completion] = deque()
        self._ended = ""
        self._in_flight_checked = False

    def run(self, input: Input, input_json: JSONObject) -> RouteResult:
        """Execute the route. `input` and `input_json` are the same run's input, as an object and as JSON."""
        context = contextvars.copy_context()
        context.run(current.enter, self._runtime)
        context.run(identity.lineage.set, identity.ROOT)
        with guarding(self._app_class):
            try:
                main = self._loop.create_task(
                    self._body.run(input, self._preflight_call(input_json)), name="route", context=context
                )
                self._loop.hide(main)
                return self._drive(main)
            except UnexpectedCompletion as disagreement:
                completion = disagreement.completion
                return self._diverged(completion.key, completion.task, self._route.consumed)
            except MissingCall as disagreement:
                return self._diverged(disagreement.key)
            except RouteDeadlockError as error:
                return RouteResult("Failed", error=error_fields(error))
            except RouteInterrupt as interrupt:
                return stalled("NonDeterministicRun", str(interrupt))
            finally:
                self._end()

    # The two rules: the loop is idle, then one completion is delivered

    def _drive(self, main: RouteTask[RouteResult]) -> RouteResult:
        while True:
            with self._loop.running():
                self._run_until_blocked(main)
            if main.done():
                result = main.result()
                self._ended = describe(result)
                self._check_rest_of_past()
                self._check_in_flight()
                return result
            self._deliver(self._next())

    def _run_until_blocked(self, main: RouteTask[RouteResult]) -> None:
        """Turn the loop until the route ends or needs the engine. Recorded completions that have arrived need none."""
        self._turn()
        while not main.done():
            if not self._route.waiting:
                # Before any further delivery, so that a deadlock breaks at the same place in every execution.
                self._body.break_deadlock()
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
                    continue  # As any other exception it ended the asyncio Task that raised it; the others run on.
                break
        finally:
            self._watch.leave()
        self._runtime.violations.raise_first()

    def _next(self) -> Completion:
        if not self._route.replaying:
            self._check_in_flight()
        abandoned = self._route.take_abandoned()
        if abandoned:
            # Before new calls are scheduled, which may wait for these calls' slots. A crash between the two loses
            # nothing: the next execution makes and abandons the same calls.
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
            self._body.cancel()
            return
        self._route.deliver(completion)

    def _check_rest_of_past(self) -> None:
        """Compare the rest of the ledger with a route that has ended: it must hold completions of its calls only."""
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

    def _preflight_call(self, input_json: JSONObject) -> TaskRequest | None:
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

    # The end of this execution

    def _diverged(self, key: str, task: str = "", position: int | None = None) -> RouteResult:
        disagreement = Disagreement(
            position=position,
            task=task,
            key=key,
            recorded=self._engine.recorded(key),
            outstanding=self._route.outstanding(),
            ended=self._ended,
        )
        return stalled("NonDeterministicRun", divergence_message(disagreement))

    def _end(self) -> None:
        """Run the clean-up code of what is left of the route, and close its loop. Calls that it makes are dropped."""
        self._runtime.close()
        for _ in range(_CLEANUP_ROUNDS):
            self._loop.close_collected_generators()
            unfinished = self._loop.unfinished_tasks()
            if not unfinished and not self._loop.open_generators():
                break
            for task in unfinished:
                task.cancel()
            self._turn_quietly()
        for task in self._loop.unfinished_tasks():
            task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it was cancelled often enough
        self._loop.close()

    def _turn_quietly(self) -> None:
        self._loop.quiet = True
        self._runtime.violations.clear()
        try:
            with self._loop.running():
                self._loop.turn()
        except (RouteInterrupt, SystemExit):
            pass
