"""Executes the calls of driver tasks: each attempt in a process of its own, retries in place, one outcome at the end.

`driver` makes one for a run that has driver tasks. It works in a thread of its own and knows neither route nor API
server: what comes out is an outcome, which `driver` records. Until then nobody knows of the call, so whatever ends the
driver before has the next one execute it again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, MutableSequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from application_sdk.engines.kubernetes.driver_outcomes import (
    ABANDONED_CALL,
    CANCELLED_ATTEMPT,
    CANCELLED_RUN,
    bounded_policy,
    never_begun,
    timed_out,
)
from application_sdk.engines.processes.executor_protocol import (
    AppNotForkable,
    AttemptBegun,
    AttemptEnded,
    AttemptSpec,
    Executor,
)
from application_sdk.engines.processes.retry_policy import AttemptCounts, Retry, decide
from application_sdk.execution.logs import timestamp
from application_sdk.execution.redaction import redacted_error
from application_sdk.wire import logs, names
from application_sdk.wire.fields import (
    MAX_DRIVER_TASK_SECONDS,
    AttemptFields,
    CallOutcome,
    ErrorFields,
    LogFields,
    Outcome,
    Policy,
)

if TYPE_CHECKING:
    from application_sdk.attempt.task_context import AttemptInfo
    from application_sdk.execution.engine import ScheduledCall
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.driver")

AT_ONCE: Final = 16
"""Attempts side by side: enough for calls that wait for others, few enough to leave the route its CPU."""
OVERDUE_SECONDS: Final = 1.0
"""An attempt that is over its time ends itself. One that hasn't by then, since it blocks its event loop, is killed."""
GIVE_WAY_SECONDS: Final = 2.0
"""How long a cancelled attempt may clean up."""
CLOSE_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
KEPT_ATTEMPTS: Final = 32
"""So many ended attempts are recorded, the latest."""
MESSAGE_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True)
class CallContext:
    """What is the same in all calls of a run."""

    info: AttemptInfo
    """Of an attempt: run, uid and limits. The rest is each call's own."""
    run: str
    node: str


@dataclass(slots=True, eq=False)
class _Call:
    call: ScheduledCall
    policy: Policy
    attempt: int = 0
    failures: int = 0
    disruptions: int = 0
    first_at: float = 0.0
    ready_at: float = 0.0
    kill_at: float = 0.0
    started_at: float = 0.0
    ended_for: ErrorFields | None = None
    """Why its attempt was killed, if it was."""
    cancelled: ErrorFields | None = None
    log: str = ""
    heartbeat: JSONObject | None = None
    """What an attempt has left for the next one."""
    history: list[AttemptFields] = field(default_factory=list)


class DriverTasks:
    """The driver tasks of one run.

    Args:
        executor: Makes the attempts; closed with this.
        context: What all calls have in common.
        record: Takes a call with its outcome, in this object's thread.
        fail: Takes what ends the engine, should this thread fail.
    """

    def __init__(
        self,
        executor: Executor,
        context: CallContext,
        record: Callable[[ScheduledCall, CallOutcome], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._executor = executor
        self._context = context
        self._record = record
        self._fail = fail
        self._lock = threading.Lock()
        self._commands: deque[Callable[[], None]] = deque()
        self._open: dict[str, _Call] = {}
        self._ready: deque[_Call] = deque()
        self._delayed: list[_Call] = []
        """Those whose next attempt has to wait."""
        self._running: dict[str, _Call] = {}
        self._cancelled = False
        self._paused = False
        self._pause_wanted = False
        """The latest answer, which `_paused` follows once the thread has come to it."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="driver-tasks", daemon=True)
        self._thread.start()

    # Called by the engine, from any thread

    def start(self, call: ScheduledCall) -> None:
        """Have a call executed and its outcome recorded. One that is under way goes on."""
        state = _Call(call, bounded_policy(call.policy))
        with self._lock:
            # guard: driver-task-under-way-once - a call that is under way would be executed twice
            if call.key in self._open:
                return
            self._open[call.key] = state
        self._tell(lambda: self._accept(state))

    def cancel(self, keys: Collection[str]) -> None:
        """End calls that the route no longer waits for."""
        chosen = frozenset(keys)
        self._tell(lambda: self._cancel(lambda call: call.key in chosen, ABANDONED_CALL))

    def cancel_run(self) -> None:
        """End the calls that the route made before it was cancelled, and those of that kind that are still to come."""
        self._tell(self._cancel_run)

    def pause(self, paused: bool) -> None:
        """Begin no attempt while the run is suspended. Those under way go on."""
        with self._lock:
            # guard: driver-task-resumed-run - a run resumed before its suspension took effect would stay suspended
            if paused == self._pause_wanted:
                return
            self._pause_wanted = paused
        self._tell(self._follow_pause)

    def works_on(self, key: str) -> bool:
        """Whether the call's outcome is still to come."""
        with self._lock:
            return key in self._open

    def close(self) -> None:
        """End all attempts at once. What isn't recorded by now never will be by this driver."""
        self._closed = True
        self._executor.wake()
        self._thread.join(CLOSE_SECONDS)

    def _tell(self, command: Callable[[], None]) -> None:
        with self._lock:
            self._commands.append(command)
        self._executor.wake()

    # The thread

    def _work(self) -> None:
        try:
            while not self._closed:
                self._obey()
                now = time.monotonic()
                # guard: driver-task-overdue-killed - a body that blocks its event loop would never end
                self._kill_overdue(now)
                self._start_ready(now)
                for event in self._executor.wait(self._seconds_left(now)):
                    if isinstance(event, AttemptBegun):
                        self._note_begin(event.key)
                    elif isinstance(event, AttemptEnded):
                        self._take_end(event)
                    elif isinstance(event, AppNotForkable):
                        _log.warning("each driver task imports the app anew, since its module has %s", event.reason)
                    elif event.heartbeat is not None and event.key in self._running:
                        # Details for the next attempt. Progress of milliseconds is told nobody.
                        self._running[event.key].heartbeat = event.heartbeat
        except BaseException as error:  # noqa: BLE001 - the route's thread raises it
            self._fail(error)
        finally:
            self._executor.close()

    def _obey(self) -> None:
        while True:
            with self._lock:
                if not self._commands:
                    return
                command = self._commands.popleft()
            command()

    def _follow_pause(self) -> None:
        self._paused = self._pause_wanted

    def _accept(self, state: _Call) -> None:
        if self._open.get(state.call.key) is not state:
            return  # Cancelled before this thread had heard of it.
        # guard: driver-task-cancelled-run - a cancelled run would begin calls that are no clean-up
        if self._cancelled and not state.call.cleanup:
            self._end_cancelled(state, CANCELLED_RUN)
        else:
            self._ready.append(state)

    def _cancel_run(self) -> None:
        self._cancelled = True
        self._cancel(lambda call: not call.cleanup, CANCELLED_RUN)

    def _cancel(self, chosen: Callable[[ScheduledCall], bool], error: ErrorFields) -> None:
        now = time.monotonic()
        with self._lock:
            states = [state for state in self._open.values() if chosen(state.call)]
        for state in states:
            if state.call.key not in self._running:
                self._end_cancelled(state, error)
            elif state.cancelled is None:
                state.cancelled = error
                state.kill_at = min(state.kill_at, now + GIVE_WAY_SECONDS)
                self._executor.cancel(state.call.key)

    def _start_ready(self, now: float) -> None:
        # guard: driver-task-suspended-run - a suspended run would begin attempts
        if self._paused and not self._cancelled:
            return
        due = [state for state in self._delayed if state.ready_at <= now]
        for state in due:
            self._delayed.remove(state)
        self._ready.extend(due)
        while self._ready and len(self._running) < AT_ONCE:
            state = self._ready.popleft()
            state.attempt += 1
            state.first_at = state.first_at or now
            state.started_at, state.ended_for = 0.0, None
            # guard: driver-task-never-begun - an attempt whose process never starts would be waited for without end
            state.kill_at = self._last_moment(state)
            self._running[state.call.key] = state
            self._executor.start(self._attempt(state))

    def _attempt(self, state: _Call) -> AttemptSpec:
        call, info = state.call, self._context.info
        return AttemptSpec(
            call.key,
            call.input,
            info._replace(
                task=call.task,
                attempt=state.attempt,
                idempotency_key=f"{info.run_uid}/{call.key}",
                policy=state.policy,
                heartbeat=state.heartbeat,
            ),
            context={
                logs.NAMESPACE: info.namespace,
                logs.RUN: self._context.run,
                logs.ROLE: "local",
                logs.TASK: call.task,
                logs.APP_TASK: names.task_name(self._context.run, call.key),
                logs.ATTEMPT: state.attempt,
            },
        )

    def _note_begin(self, key: str) -> None:
        state = self._running.get(key)
        if state is None:
            return
        state.started_at = time.time()
        now = time.monotonic()
        overdue = now + state.policy.get("timeoutSeconds", MAX_DRIVER_TASK_SECONDS) + OVERDUE_SECONDS
        state.kill_at = min(state.kill_at, overdue)

    def _last_moment(self, state: _Call) -> float:
        """When the call's time for all attempts is over, and its attempt is killed whenever it began."""
        limit = state.policy.get("scheduleToCloseSeconds", MAX_DRIVER_TASK_SECONDS)
        return state.first_at + limit + OVERDUE_SECONDS

    def _kill_overdue(self, now: float) -> None:
        for state in self._running.values():
            if now >= state.kill_at and state.ended_for is None:
                overdue = timed_out if state.started_at else never_begun
                state.ended_for = state.cancelled or overdue(state.call.task, state.attempt)
                self._executor.kill(state.call.key)

    def _seconds_left(self, now: float) -> float:
        moments = [state.kill_at for state in self._running.values() if not state.ended_for]
        if len(self._running) < AT_ONCE and (self._cancelled or not self._paused):
            moments += [state.ready_at for state in self._delayed]
        return max(min(moments, default=now + IDLE_SECONDS) - now, 0.0)

    # Ends

    def _take_end(self, event: AttemptEnded) -> None:
        state = self._running.pop(event.key, None)
        if state is None:
            return
        if event.output is not None:
            self._end(state, "Succeeded", output=event.output)
            return
        # Also the end of one that was killed, or that gave way to its cancellation.
        error = state.ended_for or event.error or state.cancelled or CANCELLED_ATTEMPT
        error = redacted_error(error)
        state.log = event.log
        self._note_attempt(state, event, error)
        if state.cancelled is not None:
            self._end_cancelled(state, state.cancelled)
            return
        if event.disrupted:
            state.disruptions += 1
        else:
            state.failures += 1
        now = time.monotonic()
        permanent = error["type"] in state.policy["retry"].get("nonRetryable", [])
        verdict = decide(
            state.policy,
            AttemptCounts(state.first_at, state.failures, state.disruptions, state.attempt),
            {**error, "retryable": False} if permanent else error,
            disrupted=event.disrupted,
            now=now,
            chance=random.random(),
        )
        if isinstance(verdict, Retry):
            _log.warning("attempt %d of driver task %s failed, next one in %.1f s: %s: %s", state.attempt,
                         state.call.task, max(verdict.at - now, 0), error["type"], error["message"])  # fmt: skip
            state.ready_at = verdict.at
            self._delayed.append(state)
        else:
            self._end(state, "Failed", error=verdict.error)

    def _note_attempt(self, state: _Call, event: AttemptEnded, error: ErrorFields) -> None:
        entry = AttemptFields(
            attempt=state.attempt,
            reason=error["type"],
            budget="None" if state.cancelled is not None else "Disruption" if event.disrupted else "App",
            message=error["message"][:MESSAGE_LENGTH],
            finishedAt=timestamp(time.time()),
        )
        if event.exit_code is not None:
            entry["exitCode"] = event.exit_code
        if state.started_at:
            entry["startedAt"] = timestamp(state.started_at)
        state.history = [*state.history, entry][-KEPT_ATTEMPTS:]

    def _end_cancelled(self, state: _Call, error: ErrorFields) -> None:
        waiting: MutableSequence[_Call] = self._ready if state in self._ready else self._delayed
        if state in waiting:
            waiting.remove(state)
        self._end(state, "Cancelled", error=error)

    def _end(
        self, state: _Call, phase: Outcome, output: JSONObject | None = None, error: ErrorFields | None = None
    ) -> None:
        now = time.time()
        attempt = max(state.attempt, 1)
        outcome = CallOutcome(
            phase=phase,
            attempt=attempt,
            startedAt=timestamp(state.started_at or now),
            finishedAt=timestamp(now),
        )
        if self._context.node:
            outcome["node"] = self._context.node
        if error is None:
            outcome["output"] = output
        else:
            outcome["error"] = {**error, "attempt": attempt}
        if state.history:
            outcome["attempts"] = state.history
        if phase == "Failed" and state.log:
            outcome["log"] = LogFields(attempt=attempt, tail=state.log)
        # Handed over first: a call that is neither worked on nor to be recorded would be taken for a lost one.
        self._record(state.call, outcome)
        with self._lock:
            self._open.pop(state.call.key, None)
