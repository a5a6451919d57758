"""The engine port on one machine: has calls done by a dispatcher, commits their completions, hands them to the route.

The route runtime calls it; `runs` makes one for each life of a run. While the route computes, this engine stands still:
all of its work is done in `receive`.
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
from application_sdk.engines.local.events import Committed, Observer, Replayed, nobody
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits, Requests
from application_sdk.engines.local.records import AttemptRecord
from application_sdk.engines.local.run_store import RunFolder
from application_sdk.engines.local.state import StateKeeper
from application_sdk.engines.processes.executor_protocol import Executor
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import CANCEL_KEY, Completion, RecordedCall, ScheduledCall
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject

POLL_SECONDS: Final = 0.25
"""How long a request to cancel or stop may go unseen."""
_HOW_LOST: Final = "the whole run was killed while the attempt was under way"


class LocalEngine:
    """Implements `execution.engine.Engine` for one life of a run."""

    def __init__(
        self,
        folder: RunFolder,
        ledger: Ledger,
        executor: Executor,
        info: RunInfo,
        *,
        limits: Limits | None = None,
        requests: Requests | None = None,
        observer: Observer = nobody,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._info = info
        self._requests = requests or Requests()
        self._observe = observer
        self._clock = clock
        self._keeper = StateKeeper(folder.state, ledger.run().app, folder.ledger)
        self._keeper.recover()
        self._dispatcher = Dispatcher(
            folder, ledger, self._keeper, executor, info, limits or Limits(), observer, clock, chance
        )
        self._history = ledger.history()
        self._earlier = {record.call.key: record for record in ledger.calls()}
        self._calls: dict[str, CallState] = restore(self._earlier.values(), self._end_lost_attempts())
        self._spares = {completion.key: completion for completion in ledger.spares()}
        self._scheduled: set[str] = set()
        self._at_hand: list[Completion] = []
        self._given = 0
        self._last_at = self._history[-1].at if self._history else info.started_at
        self._cancelled = any(completion.key == CANCEL_KEY for completion in self._history)
        self._looked_at = float("-inf")
        if self._history:
            observer(Replayed(len(self._history)))

    # The port

    def begun_with(self) -> JSONObject | None:
        return None  # It has taken the place of the input that the run was created with.

    def begin(self, input: JSONObject) -> None:
        self._ledger.begin(input)

    def history_length(self) -> int:
        return len(self._history)

    def schedule(self, calls: Sequence[ScheduledCall]) -> None:
        now = self._clock()
        self._ledger.add_calls(calls, made_after=self._given, at=now)
        at_hand: list[Completion] = []
        for call in calls:
            state = self._calls.setdefault(call.key, CallState(call, scheduled_at=now))
            # Of an earlier life it keeps what it went through; its limits are those of today's code.
            state.call = call
            self._scheduled.add(call.key)
            if call.key in self._spares:
                at_hand.append(self._spares[call.key])
            elif self._cancelled and call.role == "task" and not call.cleanup:
                at_hand.append(Completion(call.key, call.task, "Cancelled", now, state.attempt))
            else:
                self._dispatcher.queue(state)
        self._at_hand += sorted(at_hand, key=lambda completion: completion.at)

    def abandon(self, keys: Sequence[str]) -> None:
        completed = {completion.key for completion in self._history}
        for key in keys:
            if key in self._scheduled:
                self._dispatcher.abandon(key)
            elif key in self._earlier and key not in completed:
                # An earlier life had called it, and this one has given it up before it came to wait for it.
                state = self._calls[key]
                self._at_hand.append(Completion(key, state.call.task, "Cancelled", self._clock(), state.attempt))

    def in_flight(self) -> Sequence[str]:
        if self._ledger.run().generation > 1:
            # A second chance is also one to correct the code: the route needn't call again what it called before.
            return []
        completed = {completion.key for completion in self._history}
        return [key for key in self._earlier if key not in completed]

    def receive(self) -> Sequence[Completion]:
        if self._given < len(self._history):
            rest = self._history[self._given :]
            self._given = len(self._history)
            return rest
        while True:
            if self._requests.stopped:
                self._stop()
            self._dispatcher.turn()
            completed = [*self._take_at_hand(), *self._cancellation(), *self._dispatcher.take_completed()]
            if completed:
                return self._commit(completed)
            self._ledger.flush()
            self._dispatcher.hear(POLL_SECONDS)

    def recorded(self, key: str) -> RecordedCall | None:
        record = self._earlier.get(key)
        if record is None:
            return None
        call = record.call
        return RecordedCall(call.key, call.task, call.entrypoint, call.input, call.identity, call.line)

    def close(self) -> None:
        """End what still runs: this life of the route is over, and nobody waits for it."""
        self._dispatcher.wind_down(reasons.ABANDONED)
        completed = self._dispatcher.take_completed()
        # Of attempts that were killed: the others have removed theirs.
        shutil.rmtree(self._folder.scratch, ignore_errors=True)
        # What the run's cancellation has ended is part of its record, also where the route was done sooner.
        cancelled = [done for done in completed if done.outcome == "Cancelled"]
        # Done all the same: when the route has failed, a retry needn't do it again.
        late = [done for done in completed if done.outcome == "Succeeded"]
        try:
            if cancelled:
                self._commit(cancelled)
            self._note_ended()
            if late:
                self._ledger.set_aside(late)
        finally:
            self._keeper.settle(())

    # Commits

    def _take_at_hand(self) -> list[Completion]:
        """For calls that the route has made now: what the try before this one had completed, and what a cancellation of
        an earlier life had ended."""
        at_hand, self._at_hand = self._at_hand, []
        return at_hand

    def _commit(self, completed: Sequence[Completion]) -> Sequence[Completion]:
        # The route's clock is read off the ledger: it mustn't go back when this machine's clock is set back.
        self._last_at = max(self._last_at, self._clock())
        batch = [dataclasses.replace(completion, at=self._last_at) for completion in completed]
        self._ledger.commit(batch, self._dispatcher.take_ended())
        # A crash before this leaves notes, and `recover` does them.
        self._keeper.settle({completion.key for completion in batch})
        self._given += len(batch)
        for completion in batch:
            state = self._calls.get(completion.key)
            self._observe(Committed(completion, state.call if state is not None else None))
        return batch

    def _note_ended(self) -> None:
        ended = self._dispatcher.take_ended()
        if ended:
            self._ledger.end_attempts(ended)

    def _end_lost_attempts(self) -> list[AttemptRecord]:
        """All attempts of earlier lives. Those without an end were under way when all was killed: nobody knows when."""
        attempts = self._ledger.attempts()
        lost = [
            dataclasses.replace(one, reason=reasons.EXECUTOR_LOST, budget="Disruption", message=_HOW_LOST)
            for one in attempts
            if one.reason is None
        ]
        if lost:
            self._ledger.end_attempts(lost)
            ended = {(one.key, one.attempt): one for one in lost}
            attempts = [ended.get((one.key, one.attempt), one) for one in attempts]
        return attempts

    # Requests from outside

    def _cancellation(self) -> list[Completion]:
        """The ledger's entry that cancels the route, once it was asked for. What the route calls afterwards, to clean
        up, is done as ever."""
        now = self._clock()
        if self._cancelled or abs(now - self._looked_at) < POLL_SECONDS:
            return []
        self._looked_at = now
        if not self._requests.cancelled():
            return []
        self._cancelled = True
        self._dispatcher.cancel_all()
        return [Completion(CANCEL_KEY, CANCEL_KEY, "Cancelled", now, attempts=0)]

    def _stop(self) -> None:
        self._dispatcher.wind_down(reasons.INTERRUPTED)
        completed = self._dispatcher.take_completed()
        if completed:
            self._commit(completed)
        self._note_ended()
        raise RunInterruptedError(self._info.run_id)
