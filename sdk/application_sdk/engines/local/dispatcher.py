"""Gets calls done: starts attempts, judges their ends, starts others, fires timers. `engine` calls it.

One thread, one loop: `turn` does what is due, `hear` waits for what happens next. What has to outlast this process is
in the ledger before it is acted on, but for completions: those are the engine's to commit.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.local.calls import CallState
from application_sdk.engines.local.events import AttemptFailed, AttemptStarted, Called, NotForked, Observer, Progressed
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.records import AttemptRecord, Budget
from application_sdk.engines.local.run_store import NAMESPACE, RunFolder
from application_sdk.engines.local.state import StateKeeper
from application_sdk.engines.processes.executor_protocol import Begun, Ended, Event, Executor, ImportedAnew, Sign, Work
from application_sdk.engines.processes.retry_policy import GiveUp, judge
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import Completion
from application_sdk.wire import reasons
from application_sdk.wire.fields import ErrorFields

Alarm: TypeAlias = Literal["timer", "ready", "overdue", "too late", "not given way"]

_ABANDONED: Final = "the route no longer waits for this call"
_TERMINATED: Final = ErrorFields(
    type=reasons.TERMINATED, message="somebody ended the attempt's process with SIGTERM", retryable=True
)


class Dispatcher:
    """The calls of one life of a run that aren't completed."""

    def __init__(
        self,
        folder: RunFolder,
        ledger: Ledger,
        keeper: StateKeeper,
        executor: Executor,
        info: RunInfo,
        limits: Limits,
        observer: Observer,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._keeper = keeper
        self._executor = executor
        self._info = info
        self._limits = limits
        self._observe = observer
        self._clock = clock
        self._chance = chance
        self._waiting: dict[str, CallState] = {}
        self._ready: deque[CallState] = deque()
        self._running: dict[str, CallState] = {}
        self._giving_way: set[str] = set()
        """Running attempts of abandoned calls, which hold no place any more."""
        self._alarms: list[tuple[float, int, Alarm, CallState, int]] = []
        self._alarm_count = 0
        self._completed: list[Completion] = []
        self._ended: list[AttemptRecord] = []

    # What the engine does with it

    def queue(self, state: CallState) -> None:
        """Get this call done. Its completion comes out of `take_completed`, once."""
        call = state.call
        self._waiting[call.key] = state
        if call.role == "timer":
            due = state.scheduled_at + (call.seconds or 0.0)
            self._observe(Called(call, due))
            self._set_alarm(due, "timer", state)
            return
        self._observe(Called(call))
        limit = call.policy.get("scheduleToCloseSeconds")
        if limit is not None:
            self._set_alarm(state.scheduled_at + limit, "too late", state)
        self._queue_attempt(state)

    def turn(self) -> None:
        """Do what is due now."""
        self._ring_alarms()
        self._start_ready()

    def hear(self, seconds: float) -> None:
        """Wait for what happens next, at most so long, and act on it."""
        if self._alarms:
            seconds = min(seconds, max(self._alarms[0][0] - self._clock(), 0.0))
        self._take_in(self._executor.wait(seconds))

    def take_completed(self) -> list[Completion]:
        """The completions that there are by now, in order. They aren't committed yet."""
        completed, self._completed = self._completed, []
        return completed

    def take_ended(self) -> list[AttemptRecord]:
        """The attempts that have ended and aren't noted in the ledger yet."""
        ended, self._ended = self._ended, []
        return ended

    def cancel_all(self) -> None:
        """The run is cancelled: complete what hasn't begun, and ask what runs to give way."""
        for state in list(self._waiting.values()):
            if state.call.role == "timer":
                continue  # The route gives up the ones that it no longer needs.
            state.cancelled = True
            key = state.call.key
            if key in self._running:
                self._executor.cancel(key)
                self._set_alarm(self._clock() + self._limits.cancel_seconds, "not given way", state)
            else:
                self._complete(state, Completion(key, state.call.task, "Cancelled", self._clock(), state.attempt))

    def abandon(self, key: str) -> None:
        """The route no longer waits for this call. Its attempt is asked to give way, and other calls have its place at
        once."""
        state = self._waiting.get(key)
        if state is None or state.abandoned or key in self._giving_way:
            return
        # A route that is cancelled gives up its calls as well: what ended those is the run's cancellation all the same.
        # guard: cancelled-not-abandoned - the run was cancelled by a person; its route only followed
        state.abandoned = not state.cancelled
        state.cancelled = True
        if key in self._running:
            self._giving_way.add(key)
            self._executor.cancel(key)
            self._set_alarm(self._clock() + self._limits.cancel_seconds, "not given way", state)
        else:
            self._complete(state, Completion(key, state.call.task, "Cancelled", self._clock(), state.attempt))

    def wind_down(self, reason: str) -> None:
        """Start nothing more. What completes within a time is a completion; the rest is ended, at no charge."""
        self._ready.clear()
        self._alarms.clear()
        for key in self._running:
            self._executor.cancel(key)
        deadline = time.monotonic() + self._limits.stop_seconds
        while self._running and (left := deadline - time.monotonic()) > 0:
            for event in self._executor.wait(left):
                self._take_in_last(event, reason)
        for key, state in list(self._running.items()):
            self._executor.kill(key)
            self._end_last(state, Ended(key), reason)

    # Calls that wait

    def _queue_attempt(self, state: CallState) -> None:
        if state.not_before > self._clock():
            self._set_alarm(state.not_before, "ready", state)
        else:
            self._ready.append(state)

    def _set_alarm(self, at: float, kind: Alarm, state: CallState) -> None:
        self._alarm_count += 1
        heapq.heappush(self._alarms, (at, self._alarm_count, kind, state, state.attempt))

    def _ring_alarms(self) -> None:
        now = self._clock()
        while self._alarms and self._alarms[0][0] <= now:
            _, _, kind, state, attempt = heapq.heappop(self._alarms)
            key = state.call.key
            running = key in self._running and attempt == state.attempt
            if key not in self._waiting:
                continue
            if kind == "timer":
                self._complete(state, Completion(key, state.call.task, "Succeeded", now))
            elif kind == "ready":
                self._ready.append(state)
            elif kind == "overdue" and running:
                self._end_overdue(state)
            elif kind == "not given way" and running:
                self._executor.kill(key)
            elif kind == "too late":
                self._end_late(state)

    # Attempts

    def _start_ready(self) -> None:
        begun: list[CallState] = []
        # guard: yielding-attempt-frees-slot - attempts that are about to stop would keep waiting calls from starting
        while self._ready and len(self._running) - len(self._giving_way) < self._limits.parallelism:
            state = self._ready.popleft()
            if state.call.key not in self._waiting:
                continue
            state.attempt += 1
            state.started_at = self._clock()
            self._running[state.call.key] = state
            begun.append(state)
        if not begun:
            return
        self._ledger.start_attempts([(state.call.key, state.attempt) for state in begun], at=self._clock())
        for state in begun:
            self._executor.start(self._work(state))
            self._observe(AttemptStarted(state.call, state.attempt))

    def _work(self, state: CallState) -> Work:
        call = state.call
        info = AttemptInfo(
            run_id=self._info.run_id,
            correlation_id=self._info.correlation_id,
            task=call.task,
            attempt=state.attempt,
            idempotency_key=f"{self._info.uid}/{call.key}",
            policy=call.policy,
            max_output_bytes=self._info.max_payload_bytes,
            heartbeat=state.heartbeat,
            namespace=NAMESPACE,
            run_uid=self._info.uid,
            files=self._folder.files_place(call.key, state.attempt),
            own_disk=True,
        )
        return Work(
            call.key, call.input, info, self._folder.log(call.task, call.key, state.attempt), self._folder.state
        )

    def _take_in(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, ImportedAnew):
                self._observe(NotForked(event.reason))
                continue
            state = self._running.get(event.key)
            if state is None:
                continue
            if isinstance(event, Begun):
                self._limit(state)
            elif isinstance(event, Sign):
                self._note_sign(state, event)
            else:
                self._end(state, event)

    def _take_in_last(self, event: Event, reason: str) -> None:
        if isinstance(event, ImportedAnew):
            return
        state = self._running.get(event.key)
        if state is None or isinstance(event, Begun):
            return
        if isinstance(event, Sign):
            self._note_sign(state, event)
        elif event.output is not None:
            self._end(state, event)
        else:
            self._end_last(state, event, reason)

    def _end_last(self, state: CallState, end: Ended, reason: str) -> None:
        # guard: cancelled-call-recorded - a cancelled run's ledger would depend on who is quicker, task or clean-up
        if state.cancelled and not state.abandoned:
            self._end(state, end)
            return
        del self._running[state.call.key]
        self._note_end(state, end, reason, "None")

    def _limit(self, state: CallState) -> None:
        limit = state.call.policy.get("timeoutSeconds")
        if limit is not None:
            self._set_alarm(self._clock() + limit + self._limits.overdue_seconds, "overdue", state)

    def _note_sign(self, state: CallState, sign: Sign) -> None:
        if sign.heartbeat is not None:
            state.heartbeat = sign.heartbeat
        self._ledger.note_signs(state.call.key, sign.progress, sign.heartbeat)
        if sign.progress is not None:
            self._observe(Progressed(state.call, sign.progress))

    def _end(self, state: CallState, end: Ended) -> None:
        del self._running[state.call.key]
        self._giving_way.discard(state.call.key)
        call, now = state.call, self._clock()
        # Before it counts as a success: what it wants saved may be in conflict with what others have saved.
        refusal = self._keeper.note(call.key, state.attempt, end.state) if end.state else None
        if refusal is not None:
            self._fail(state, end, refusal, disrupted=False)
        elif end.output is not None:
            self._note_end(state, end, reasons.COMPLETED, "None")
            self._complete(state, Completion(call.key, call.task, "Succeeded", now, state.attempt, end.output))
        elif state.cancelled:
            reason, message = (reasons.ABANDONED, _ABANDONED) if state.abandoned else (reasons.CANCELLED, "")
            self._note_end(state, end, reason, "None", message)
            self._complete(state, Completion(call.key, call.task, "Cancelled", now, state.attempt))
        else:
            disrupted = end.disrupted or (end.error is None and state.ended_for is None)
            self._fail(state, end, state.ended_for or end.error or _TERMINATED, disrupted=disrupted)

    def _fail(self, state: CallState, end: Ended, error: ErrorFields, *, disrupted: bool) -> None:
        call, now = state.call, self._clock()
        if disrupted:
            state.disruptions += 1
        else:
            state.failures += 1
        state.ended_for = None
        self._note_end(state, end, error["type"], "Disruption" if disrupted else "App", error["message"])
        verdict = judge(call.policy, state.tally(), error, disrupted=disrupted, now=now, chance=self._chance())
        if isinstance(verdict, GiveUp):
            failed = Completion(call.key, call.task, "Failed", now, state.attempt, error=verdict.error)
            self._complete(state, failed)
            return
        state.not_before = verdict.at
        self._ledger.end_attempts(self.take_ended(), [(call.key, verdict.at)])
        self._observe(AttemptFailed(call, state.attempt, error, verdict.at, disrupted))
        self._queue_attempt(state)

    def _note_end(self, state: CallState, end: Ended, reason: str, budget: Budget, message: str = "") -> None:
        self._ended.append(
            AttemptRecord(
                key=state.call.key,
                attempt=state.attempt,
                started_at=state.started_at,
                finished_at=self._clock(),
                reason=reason,
                budget=budget,
                message=message,
                exit_code=end.exit_code,
            )
        )

    def _complete(self, state: CallState, completion: Completion) -> None:
        if self._waiting.pop(state.call.key, None) is not None:
            self._completed.append(completion)

    # Limits that a call didn't keep by itself

    def _end_overdue(self, state: CallState) -> None:
        limit = state.call.policy.get("timeoutSeconds", 0.0)
        state.ended_for = ErrorFields(
            type=reasons.TIMED_OUT,
            message=f"attempt {state.attempt} of {state.call.task!r} was still running after {limit:g} s "
            f"(timeout_seconds) and didn't end when it was told to: it was killed",
            retryable=True,
        )
        self._executor.kill(state.call.key)

    def _end_late(self, state: CallState) -> None:
        call = state.call
        limit = call.policy.get("scheduleToCloseSeconds", 0.0)
        error = ErrorFields(
            type=reasons.TIMED_OUT,
            message=f"{call.task!r} wasn't done {limit:g} s after it was called (schedule_to_close_seconds)",
            retryable=False,
            attempt=state.attempt,
        )
        if call.key in self._running:
            state.ended_for = error
            self._executor.kill(call.key)
        else:
            self._complete(state, Completion(call.key, call.task, "Failed", self._clock(), state.attempt, error=error))
