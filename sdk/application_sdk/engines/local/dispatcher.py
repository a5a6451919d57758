"""Executes the calls of a run: starts attempts, decides about retries and fires timers. `engine`
calls it.

One thread, one loop: `start_due` does what is due, `wait` waits for the next event. Whatever must
outlast this process is written to the ledger before it is acted on, except completions, which the
engine commits.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.engines.local.calls import CallState
from application_sdk.engines.local.events import AttemptFailed, AttemptStarted, Called, NotForked, Observer, Progressed
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.pod_fields import variables
from application_sdk.engines.local.records import AttemptRecord, Budget
from application_sdk.engines.local.run_store import NAMESPACE, RunFolder
from application_sdk.engines.local.state import StateStore
from application_sdk.engines.processes.executor_protocol import (
    AppNotForkable,
    AttemptBegun,
    AttemptEnded,
    AttemptHeartbeat,
    AttemptSpec,
    Executor,
    ExecutorEvent,
)
from application_sdk.engines.processes.retry_policy import GiveUp, decide
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
    """The open calls of one execution of a run."""

    def __init__(
        self,
        folder: RunFolder,
        ledger: Ledger,
        state_store: StateStore,
        executor: Executor,
        info: RunInfo,
        limits: Limits,
        observer: Observer,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._state_store = state_store
        self._executor = executor
        self._info = info
        self._limits = limits
        self._observe = observer
        self._clock = clock
        self._chance = chance
        self._waiting: dict[str, CallState] = {}
        self._ready: deque[CallState] = deque()
        self._running: dict[str, CallState] = {}
        self._cancelling: set[str] = set()
        """Running attempts of abandoned calls, which no longer take up a slot."""
        self._alarms: list[tuple[float, int, Alarm, CallState, int]] = []
        self._alarm_count = 0
        self._completed: list[Completion] = []
        self._ended: list[AttemptRecord] = []

    # What the engine does with it

    def queue(self, state: CallState) -> None:
        """Execute this call. `take_completed` returns its completion, once."""
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

    def start_due(self) -> None:
        """Do what is due now."""
        self._fire_alarms()
        self._start_ready()

    def wait(self, seconds: float) -> None:
        """Wait for what happens next, at most so long, and act on it."""
        if self._alarms:
            seconds = min(seconds, max(self._alarms[0][0] - self._clock(), 0.0))
        self._handle_events(self._executor.wait(seconds))

    def take_completed(self) -> list[Completion]:
        """The completions since the last call, in order. They aren't committed yet."""
        completed, self._completed = self._completed, []
        return completed

    def take_ended(self) -> list[AttemptRecord]:
        """The ended attempts that aren't in the ledger yet."""
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
        """Cancel a call that the route no longer waits for. Its attempt may clean up, and its slot
        is free at once."""
        state = self._waiting.get(key)
        if state is None or state.abandoned or key in self._cancelling:
            return
        # A route that is cancelled gives up its calls as well: what ended those is the run's
        # cancellation all the same.
        # guard: cancelled-not-abandoned - the run was cancelled by a person; its route only
        # followed
        state.abandoned = not state.cancelled
        state.cancelled = True
        if key in self._running:
            self._cancelling.add(key)
            self._executor.cancel(key)
            self._set_alarm(self._clock() + self._limits.cancel_seconds, "not given way", state)
        else:
            self._complete(state, Completion(key, state.call.task, "Cancelled", self._clock(), state.attempt))

    def shut_down(self, reason: str) -> None:
        """Start nothing more. Attempts that complete within `stop_seconds` count; the rest are
        killed, at no charge."""
        self._ready.clear()
        self._alarms.clear()
        for key in self._running:
            self._executor.cancel(key)
        deadline = time.monotonic() + self._limits.stop_seconds
        while self._running and (left := deadline - time.monotonic()) > 0:
            for event in self._executor.wait(left):
                self._handle_last_event(event, reason)
        for key, state in list(self._running.items()):
            self._executor.kill(key)
            self._end_last(state, AttemptEnded(key), reason)

    # Calls that wait

    def _queue_attempt(self, state: CallState) -> None:
        if state.not_before > self._clock():
            self._set_alarm(state.not_before, "ready", state)
        else:
            self._ready.append(state)

    def _set_alarm(self, at: float, alarm: Alarm, state: CallState) -> None:
        self._alarm_count += 1
        heapq.heappush(self._alarms, (at, self._alarm_count, alarm, state, state.attempt))

    def _fire_alarms(self) -> None:
        now = self._clock()
        while self._alarms and self._alarms[0][0] <= now:
            _, _, alarm, state, attempt = heapq.heappop(self._alarms)
            key = state.call.key
            running = key in self._running and attempt == state.attempt
            if key not in self._waiting:
                continue
            if alarm == "timer":
                self._complete(state, Completion(key, state.call.task, "Succeeded", now))
            elif alarm == "ready":
                self._ready.append(state)
            elif alarm == "overdue" and running:
                self._end_overdue(state)
            elif alarm == "not given way" and running:
                self._executor.kill(key)
            elif alarm == "too late":
                self._end_late(state)

    # Attempts

    def _start_ready(self) -> None:
        started: list[CallState] = []
        # guard: yielding-attempt-frees-slot - attempts that are about to stop would keep waiting
        # calls from starting
        while self._ready and len(self._running) - len(self._cancelling) < self._limits.parallelism:
            state = self._ready.popleft()
            if state.call.key not in self._waiting:
                continue
            state.attempt += 1
            state.started_at = self._clock()
            self._running[state.call.key] = state
            started.append(state)
        if not started:
            return
        # Numbers are on the disk before attempts use them: a crash in between costs a number, and
        # no number is used twice.
        self._ledger.start_attempts([(state.call.key, state.attempt) for state in started], at=self._clock())
        for state in started:
            self._executor.start(self._attempt_spec(state))
            self._observe(AttemptStarted(state.call, state.attempt))

    def _attempt_spec(self, state: CallState) -> AttemptSpec:
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
        return AttemptSpec(
            call.key,
            call.input,
            info,
            self._folder.log(call.task, call.key, state.attempt),
            self._folder.state,
            env={**variables(call.pod, os.environ)},
        )

    def _handle_events(self, events: Sequence[ExecutorEvent]) -> None:
        for event in events:
            if isinstance(event, AppNotForkable):
                self._observe(NotForked(event.reason))
                continue
            state = self._running.get(event.key)
            if state is None:
                continue
            if isinstance(event, AttemptBegun):
                self._limit(state)
            elif isinstance(event, AttemptHeartbeat):
                self._record_heartbeat(state, event)
            else:
                self._end(state, event)

    def _handle_last_event(self, event: ExecutorEvent, reason: str) -> None:
        if isinstance(event, AppNotForkable):
            return
        state = self._running.get(event.key)
        if state is None or isinstance(event, AttemptBegun):
            return
        if isinstance(event, AttemptHeartbeat):
            self._record_heartbeat(state, event)
        elif event.output is not None:
            self._end(state, event)
        else:
            self._end_last(state, event, reason)

    def _end_last(self, state: CallState, end: AttemptEnded, reason: str) -> None:
        # guard: cancelled-call-recorded - the ledger of a cancelled run would depend on which ends
        # first, the task or the route's clean-up
        if state.cancelled and not state.abandoned:
            self._end(state, end)
            return
        del self._running[state.call.key]
        self._record_end(state, end, reason, "None")

    def _limit(self, state: CallState) -> None:
        limit = state.call.policy.get("timeoutSeconds")
        if limit is not None:
            self._set_alarm(self._clock() + limit + self._limits.overdue_seconds, "overdue", state)

    def _record_heartbeat(self, state: CallState, sign: AttemptHeartbeat) -> None:
        if sign.heartbeat is not None:
            state.heartbeat = sign.heartbeat
        self._ledger.record_heartbeat(state.call.key, sign.progress, sign.heartbeat)
        if sign.progress is not None:
            self._observe(Progressed(state.call, sign.progress))

    def _end(self, state: CallState, end: AttemptEnded) -> None:
        del self._running[state.call.key]
        self._cancelling.discard(state.call.key)
        call, now = state.call, self._clock()
        # Staged before the attempt counts as a success: its state may conflict with what another
        # run has saved.
        refusal = self._state_store.stage(call.key, state.attempt, end.state) if end.state else None
        if refusal is not None:
            self._fail(state, end, refusal, disrupted=False)
        elif end.output is not None:
            self._record_end(state, end, reasons.COMPLETED, "None")
            self._complete(state, Completion(call.key, call.task, "Succeeded", now, state.attempt, end.output))
        elif state.cancelled:
            reason, message = (reasons.ABANDONED, _ABANDONED) if state.abandoned else (reasons.CANCELLED, "")
            self._record_end(state, end, reason, "None", message)
            self._complete(state, Completion(call.key, call.task, "Cancelled", now, state.attempt))
        else:
            disrupted = end.disrupted or (end.error is None and state.ended_for is None)
            self._fail(state, end, state.ended_for or end.error or _TERMINATED, disrupted=disrupted)

    def _fail(self, state: CallState, end: AttemptEnded, error: ErrorFields, *, disrupted: bool) -> None:
        call, now = state.call, self._clock()
        if disrupted:
            state.disruptions += 1
        else:
            state.failures += 1
        state.ended_for = None
        self._record_end(state, end, error["type"], "Disruption" if disrupted else "App", error["message"])
        decision = decide(call.policy, state.counts(), error, disrupted=disrupted, now=now, chance=self._chance())
        if isinstance(decision, GiveUp):
            failed = Completion(call.key, call.task, "Failed", now, state.attempt, error=decision.error)
            self._complete(state, failed)
            return
        state.not_before = decision.at
        self._ledger.end_attempts(self.take_ended(), [(call.key, decision.at)])
        self._observe(AttemptFailed(call, state.attempt, error, decision.at, disrupted))
        self._queue_attempt(state)

    def _record_end(self, state: CallState, end: AttemptEnded, reason: str, budget: Budget, message: str = "") -> None:
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
