"""Executes calls of driver tasks: each attempt in a process of its own, with retries here, and one
outcome per call.

`driver` makes one `DriverTasks` for a run that has driver tasks. It works in a thread of its own
and knows neither the route nor the API server: it hands each outcome to `driver`, which records it.
Nothing is recorded of a call before, so when the driver dies first, the next driver executes the
call again, from its first attempt.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, MutableSequence
from typing import TYPE_CHECKING, Final

from application_sdk.engines.kubernetes.driver_calls import CallContext, CallState
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
)

if TYPE_CHECKING:
    from application_sdk.execution.engine import ScheduledCall
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.driver")

MAX_RUNNING: Final = 16
"""How many attempts run at a time: enough for calls that wait for a network, few enough to leave
the route its CPU."""
OVERDUE_SECONDS: Final = 1.0
"""How long an attempt may exceed its time limit: it ends itself, unless it blocks its event
loop."""
CANCEL_SECONDS: Final = 2.0
"""How long a cancelled attempt may clean up before it is killed."""
CLOSE_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
MAX_HISTORY: Final = 32
"""How many ended attempts an outcome lists: the latest."""
MESSAGE_LENGTH: Final = 1024


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
        self._open: dict[str, CallState] = {}
        self._ready: deque[CallState] = deque()
        self._delayed: list[CallState] = []
        """Calls whose next attempt waits for its retry time."""
        self._running: dict[str, CallState] = {}
        self._cancelled = False
        self._paused = False
        self._requested_pause = False
        """What `pause` was last called with. `_paused` follows when the thread runs the command."""
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="driver-tasks", daemon=True)
        self._thread.start()

    # Called by the engine, from any thread

    def start(self, call: ScheduledCall) -> None:
        """Execute a call and record its outcome. Does nothing for a call that is executed
        already."""
        state = CallState(call, bounded_policy(call.policy))
        with self._lock:
            # guard: driver-task-under-way-once - a call that is under way would be executed twice
            if call.key in self._open:
                return
            self._open[call.key] = state
        self._post(lambda: self._accept(state))

    def cancel(self, keys: Collection[str]) -> None:
        """End calls that the route no longer waits for."""
        chosen = frozenset(keys)
        self._post(lambda: self._cancel(lambda call: call.key in chosen, ABANDONED_CALL))

    def cancel_run(self) -> None:
        """End all calls but those of the route's clean-up, also those that are started later."""
        self._post(self._cancel_run)

    def pause(self, paused: bool) -> None:
        """Begin no attempt while the run is suspended. Attempts that run go on."""
        with self._lock:
            # guard: driver-task-resumed-run - a run resumed before its suspension took effect would
            # stay suspended
            if paused == self._requested_pause:
                return
            self._requested_pause = paused
        self._post(self._apply_pause)

    def is_executing(self, key: str) -> bool:
        """Whether the call's outcome is still to come."""
        with self._lock:
            return key in self._open

    def close(self) -> None:
        """End all attempts at once. Outcomes that aren't handed over yet are lost: the next driver
        makes them again."""
        self._closed = True
        self._executor.wake()
        self._thread.join(CLOSE_SECONDS)

    def _post(self, command: Callable[[], None]) -> None:
        with self._lock:
            self._commands.append(command)
        self._executor.wake()

    # The thread

    def _run(self) -> None:
        try:
            while not self._closed:
                self._run_commands()
                now = time.monotonic()
                # guard: driver-task-overdue-killed - a body that blocks its event loop would never
                # end
                self._kill_overdue(now)
                self._start_ready(now)
                for event in self._executor.wait(self._seconds_to_deadline(now)):
                    if isinstance(event, AttemptBegun):
                        self._handle_begin(event.key)
                    elif isinstance(event, AttemptEnded):
                        self._handle_end(event)
                    elif isinstance(event, AppNotForkable):
                        _log.warning("each driver task imports the app itself, since its module has %s", event.reason)
                    elif event.heartbeat is not None and event.key in self._running:
                        # Kept for the next attempt. Progress of so short a task is written nowhere.
                        self._running[event.key].heartbeat = event.heartbeat
        except BaseException as error:  # noqa: BLE001 - the route's thread raises it
            self._fail(error)
        finally:
            self._executor.close()

    def _run_commands(self) -> None:
        while True:
            with self._lock:
                if not self._commands:
                    return
                command = self._commands.popleft()
            command()

    def _apply_pause(self) -> None:
        self._paused = self._requested_pause

    def _accept(self, state: CallState) -> None:
        if self._open.get(state.call.key) is not state:
            return  # Cancelled before this thread got to it.
        # guard: driver-task-cancelled-run - a cancelled run would begin calls that are no clean-up
        if self._cancelled and not state.call.cleanup:
            self._complete_cancelled(state, CANCELLED_RUN)
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
                self._complete_cancelled(state, error)
            elif state.cancelled is None:
                state.cancelled = error
                state.kill_at = min(state.kill_at, now + CANCEL_SECONDS)
                self._executor.cancel(state.call.key)

    def _start_ready(self, now: float) -> None:
        # guard: driver-task-suspended-run - a suspended run would begin attempts
        if self._paused and not self._cancelled:
            return
        due = [state for state in self._delayed if state.ready_at <= now]
        for state in due:
            self._delayed.remove(state)
        self._ready.extend(due)
        while self._ready and len(self._running) < MAX_RUNNING:
            state = self._ready.popleft()
            state.attempt += 1
            state.first_at = state.first_at or now
            state.started_at, state.kill_reason = 0.0, None
            # guard: driver-task-never-begun - an attempt whose process never starts would be waited
            # for without end
            state.kill_at = self._call_deadline(state)
            self._running[state.call.key] = state
            self._executor.start(self._attempt(state))

    def _attempt(self, state: CallState) -> AttemptSpec:
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

    def _handle_begin(self, key: str) -> None:
        state = self._running.get(key)
        if state is None:
            return
        state.started_at = time.time()
        now = time.monotonic()
        overdue = now + state.policy.get("timeoutSeconds", MAX_DRIVER_TASK_SECONDS) + OVERDUE_SECONDS
        state.kill_at = min(state.kill_at, overdue)

    def _call_deadline(self, state: CallState) -> float:
        """When the call's time for all attempts is over, and its attempt is killed whenever it
        began."""
        limit = state.policy.get("scheduleToCloseSeconds", MAX_DRIVER_TASK_SECONDS)
        return state.first_at + limit + OVERDUE_SECONDS

    def _kill_overdue(self, now: float) -> None:
        for state in self._running.values():
            if now >= state.kill_at and state.kill_reason is None:
                overdue = timed_out if state.started_at else never_begun
                state.kill_reason = state.cancelled or overdue(state.call.task, state.attempt)
                self._executor.kill(state.call.key)

    def _seconds_to_deadline(self, now: float) -> float:
        deadlines = [state.kill_at for state in self._running.values() if not state.kill_reason]
        if len(self._running) < MAX_RUNNING and (self._cancelled or not self._paused):
            deadlines += [state.ready_at for state in self._delayed]
        return max(min(deadlines, default=now + IDLE_SECONDS) - now, 0.0)

    # Ends

    def _handle_end(self, event: AttemptEnded) -> None:
        state = self._running.pop(event.key, None)
        if state is None:
            return
        if event.output is not None:
            self._complete(state, "Succeeded", output=event.output)
            return
        # The attempt failed, was killed, or gave way to its cancellation.
        error = state.kill_reason or event.error or state.cancelled or CANCELLED_ATTEMPT
        error = redacted_error(error)
        state.log = event.log
        self._append_history(state, event, error)
        if state.cancelled is not None:
            self._complete_cancelled(state, state.cancelled)
            return
        if event.disrupted:
            state.disruptions += 1
        else:
            state.failures += 1
        now = time.monotonic()
        permanent = error["type"] in state.policy["retry"].get("nonRetryable", [])
        decision = decide(
            state.policy,
            AttemptCounts(state.first_at, state.failures, state.disruptions, state.attempt),
            {**error, "retryable": False} if permanent else error,
            disrupted=event.disrupted,
            now=now,
            chance=random.random(),
        )
        if isinstance(decision, Retry):
            _log.warning("attempt %d of driver task %s failed, next one in %.1f s: %s: %s", state.attempt,
                         state.call.task, max(decision.at - now, 0), error["type"], error["message"])  # fmt: skip
            state.ready_at = decision.at
            self._delayed.append(state)
        else:
            self._complete(state, "Failed", error=decision.error)

    def _append_history(self, state: CallState, event: AttemptEnded, error: ErrorFields) -> None:
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
        state.history = [*state.history, entry][-MAX_HISTORY:]

    def _complete_cancelled(self, state: CallState, error: ErrorFields) -> None:
        queue: MutableSequence[CallState] = self._ready if state in self._ready else self._delayed
        if state in queue:
            queue.remove(state)
        self._complete(state, "Cancelled", error=error)

    def _complete(
        self, state: CallState, phase: Outcome, output: JSONObject | None = None, error: ErrorFields | None = None
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
        # Handed over before it is closed: `driver` would take a call that is neither executed nor
        # has an outcome for a lost one, and start it again.
        self._record(state.call, outcome)
        with self._lock:
            self._open.pop(state.call.key, None)
