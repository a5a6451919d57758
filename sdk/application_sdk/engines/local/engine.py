"""The engine of one machine: it has a dispatcher execute calls, commits completions and returns
them to the route.

The route runtime calls it, and `runs` makes one for each execution of a run. While the route
computes, this engine stands still: it does all of its work in `receive`.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from random import random
from typing import Final

from application_sdk.engines.local.calls import CallState, restore
from application_sdk.engines.local.dispatcher import Dispatcher
from application_sdk.engines.local.errors import RunInterruptedError
from application_sdk.engines.local.events import Committed, Observer, Replayed, ignore_event
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.records import AttemptRecord
from application_sdk.engines.local.run_store import RunFolder
from application_sdk.engines.local.state import StateStore
from application_sdk.engines.processes.executor_protocol import Executor
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import CANCEL_KEY, Completion, RecordedCall, ScheduledCall
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject

POLL_SECONDS: Final = 0.25
"""How long a request to cancel or stop may go unseen."""
_LOST_MESSAGE: Final = "the whole run was killed while the attempt was under way"


class LocalEngine:
    """Implements `execution.engine.Engine` for one execution of a run."""

    def __init__(
        self,
        folder: RunFolder,
        ledger: Ledger,
        executor: Executor,
        info: RunInfo,
        *,
        limits: Limits | None = None,
        requests: Requests | None = None,
        observer: Observer = ignore_event,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._info = info
        self._requests = requests or Requests()
        self._observe = observer
        self._clock = clock
        self._state_store = StateStore(folder.state, ledger.run().app, folder.ledger)
        self._state_store.recover()
        self._dispatcher = Dispatcher(
            folder, ledger, self._state_store, executor, info, limits or Limits(), observer, clock, chance
        )
        self._history = ledger.history()
        self._previous_calls = {record.call.key: record for record in ledger.calls()}
        self._calls: dict[str, CallState] = restore(self._previous_calls.values(), self._end_lost_attempts())
        self._detached = {completion.key: completion for completion in ledger.detached()}
        self._scheduled: set[str] = set()
        self._ready: list[Completion] = []
        self._delivered = 0
        self._last_at = self._history[-1].at if self._history else info.started_at
        self._cancelled = any(completion.key == CANCEL_KEY for completion in self._history)
        self._cancel_checked_at = float("-inf")
        if self._history:
            observer(Replayed(len(self._history)))

    # The port

    def begun_with(self) -> JSONObject | None:
        return None  # The completed input has replaced the one that the run was created with.

    def begin(self, input: JSONObject) -> None:
        self._ledger.begin(input)

    def history_length(self) -> int:
        return len(self._history)

    def schedule(self, calls: Sequence[ScheduledCall]) -> None:
        now = self._clock()
        self._ledger.add_calls(calls, made_after=self._delivered, at=now)
        ready: list[Completion] = []
        for call in calls:
            state = self._calls.setdefault(call.key, CallState(call, scheduled_at=now))
            # A call of an earlier execution keeps its attempts; its limits are those of today's
            # code.
            state.call = call
            self._scheduled.add(call.key)
            if call.key in self._detached:
                ready.append(self._detached[call.key])
            elif self._cancelled and call.role == "task" and not call.cleanup:
                ready.append(Completion(call.key, call.task, "Cancelled", now, state.attempt))
            else:
                self._dispatcher.queue(state)
        self._ready += sorted(ready, key=lambda completion: completion.at)

    def abandon(self, keys: Sequence[str]) -> None:
        completed = {completion.key for completion in self._history}
        for key in keys:
            if key in self._scheduled:
                self._dispatcher.abandon(key)
            elif key in self._previous_calls and key not in completed:
                # An earlier execution made this call, and this one abandons it before it makes it.
                state = self._calls[key]
                self._ready.append(Completion(key, state.call.task, "Cancelled", self._clock(), state.attempt))

    def in_flight(self) -> Sequence[str]:
        if self._ledger.run().generation > 1:
            # Code may be corrected before a retry, so the route needn't make the calls again that
            # it made before.
            return []
        completed = {completion.key for completion in self._history}
        return [key for key in self._previous_calls if key not in completed]

    def receive(self) -> Sequence[Completion]:
        if self._delivered < len(self._history):
            rest = self._history[self._delivered :]
            self._delivered = len(self._history)
            return rest
        while True:
            if self._requests.stopped:
                self._stop()
            self._dispatcher.start_due()
            completed = [*self._take_ready(), *self._cancellation(), *self._dispatcher.take_completed()]
            if completed:
                return self._commit(completed)
            self._ledger.flush()
            self._dispatcher.wait(POLL_SECONDS)

    def recorded(self, key: str) -> RecordedCall | None:
        record = self._previous_calls.get(key)
        if record is None:
            return None
        call = record.call
        return RecordedCall(call.key, call.task, call.entrypoint, call.input, call.identity, call.line)

    def close(self) -> None:
        """End what still runs: this execution of the route is over."""
        self._dispatcher.shut_down(reasons.ABANDONED)
        completed = self._dispatcher.take_completed()
        # Left by attempts that were killed: others remove their own.
        shutil.rmtree(self._folder.scratch, ignore_errors=True)
        # What the run's cancellation has ended is part of its record, also where the route ended sooner.
        cancelled = [completion for completion in completed if completion.outcome == "Cancelled"]
        # Work that was done after the route had failed is kept, so that a retry needn't repeat it.
        late = [completion for completion in completed if completion.outcome == "Succeeded"]
        try:
            if cancelled:
                self._commit(cancelled)
            self._note_ended()
            if late:
                self._ledger.detach(late)
        finally:
            self._state_store.apply(())

    # Commits

    def _take_ready(self) -> list[Completion]:
        """Completions that need no attempt: of detached calls that the route makes again, and of
        cancelled ones."""
        ready, self._ready = self._ready, []
        return ready

    def _commit(self, completed: Sequence[Completion]) -> Sequence[Completion]:
        # The route's clock is that of the ledger: it must not go back when this machine's clock
        # does.
        self._last_at = max(self._last_at, self._clock())
        batch = [dataclasses.replace(completion, at=self._last_at) for completion in completed]
        self._ledger.commit(batch, self._dispatcher.take_ended())
        # A crash between the commit and this leaves staged writes, which the next `recover`
        # applies.
        self._state_store.apply({completion.key for completion in batch})
        self._delivered += len(batch)
        for completion in batch:
            state = self._calls.get(completion.key)
            self._observe(Committed(completion, state.call if state is not None else None))
        return batch

    def _note_ended(self) -> None:
        ended = self._dispatcher.take_ended()
        if ended:
            self._ledger.end_attempts(ended)

    def _end_lost_attempts(self) -> list[AttemptRecord]:
        """All attempts of earlier executions. Those without an end were running when the whole run
        was killed."""
        attempts = self._ledger.attempts()
        lost = [
            dataclasses.replace(attempt, reason=reasons.EXECUTOR_LOST, budget="Disruption", message=_LOST_MESSAGE)
            for attempt in attempts
            if attempt.reason is None
        ]
        if lost:
            self._ledger.end_attempts(lost)
            ended = {(attempt.key, attempt.attempt): attempt for attempt in lost}
            attempts = [ended.get((attempt.key, attempt.attempt), attempt) for attempt in attempts]
        return attempts

    # Requests from outside

    def _cancellation(self) -> list[Completion]:
        """The ledger's entry that cancels the route, once a cancellation was requested. Calls that
        the route makes afterwards, to clean up, are executed as usual."""
        now = self._clock()
        if self._cancelled or abs(now - self._cancel_checked_at) < POLL_SECONDS:
            return []
        self._cancel_checked_at = now
        if not self._requests.cancelled():
            return []
        self._cancelled = True
        self._dispatcher.cancel_all()
        return [Completion(CANCEL_KEY, CANCEL_KEY, "Cancelled", now, attempts=0)]

    def _stop(self) -> None:
        self._dispatcher.shut_down(reasons.INTERRUPTED)
        completed = self._dispatcher.take_completed()
        if completed:
            self._commit(completed)
        self._note_ended()
        raise RunInterruptedError(self._info.run_id)
