"""The worker of a warm pod: begins the calls of its inbox, enforces their limits, and has their
outcomes reported.

`worker_main` creates one. The thread that calls `run` makes all decisions. Other threads, and
signal handlers, only post messages to it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from application_sdk.engines.kubernetes.report import EXIT_CODES, Delivery
from application_sdk.engines.processes.executor_protocol import AppNotForkable, AttemptBegun, AttemptEnded
from application_sdk.execution.logs import timestamp
from application_sdk.wire import reasons
from application_sdk.wire.fields import ErrorFields
from application_sdk.wire.pod import EXIT_REPORTED, EXIT_TERMINATED

if TYPE_CHECKING:
    from application_sdk.engines.kubernetes.worker_attempts import Attempts
    from application_sdk.engines.kubernetes.worker_calls import Calls, OpenCall
    from application_sdk.engines.processes.executor_protocol import Executor, ExecutorEvent
    from application_sdk.wire.fields import WorkerStatus

_log = logging.getLogger("apprun.worker")

ACKNOWLEDGE_SECONDS: Final = 2.0
"""A call that takes longer is acknowledged, with one write. A shorter one is acknowledged by its
report."""
OVERDUE_SECONDS: Final = 1.0
"""Seconds after its time limit at which an attempt is killed. It ends itself at the limit, unless
it blocks its event loop."""
GIVE_WAY_SECONDS: Final = 10.0
"""How long a cancelled attempt may clean up before it is killed."""
IDLE_SECONDS: Final = 60.0
"""How long to wait for events when nothing is due."""


class Worker:
    """Executes the calls of one pod until it is stopped or has executed as many as it may."""

    def __init__(self, executor: Executor, calls: Calls, attempts: Attempts, node: str) -> None:
        self._executor = executor
        self._calls = calls
        self._attempts = attempts
        self._node = node
        self._messages: deque[Callable[[], None]] = deque()
        self._failure: BaseException | None = None
        self._exit_code = EXIT_REPORTED

    # From any thread, and from signal handlers

    def take_inbox(self, inbox: WorkerStatus) -> None:
        """Take over a newer state of the inbox."""
        self._post(lambda: self._calls.take(inbox, time.monotonic()))

    def terminate(self) -> None:
        """Cancel all attempts since the pod is being ended, report those that have an outcome all
        the same, and stop."""
        self._post(self._terminate)

    def stop(self, exit_code: int) -> None:
        """Begin no further calls, and stop once those that run have ended and are reported."""
        self._post(lambda: self._stop(exit_code))

    def fail(self, error: BaseException) -> None:
        """Raise the error of a thread that the worker can't do without from `run`."""
        self._failure = error
        self._executor.wake()

    def fence(self, key: str) -> None:
        """Give a call up: the API server has refused a write about it, since another attempt took
        over."""
        self._post(lambda: self._fence(key))

    def delivered(self, key: str, delivery: Delivery) -> None:
        """Note that a report was accepted, or refused for good."""
        self._post(lambda: self._delivered(key, delivery))

    def dropped(self, key: str) -> None:
        """Note that the last heartbeats of a call without an outcome are written, or lost."""
        self._post(lambda: self._calls.reported(key))

    def _post(self, message: Callable[[], None]) -> None:
        # Without a lock: a signal handler may interrupt this line in the thread that holds it.
        self._messages.append(message)
        self._executor.wake()

    # In the thread of `run`

    def run(self) -> int:
        """Execute calls until there is nothing more to do. Returns the pod's exit code."""
        try:
            while True:
                while self._messages:
                    self._messages.popleft()()
                if self._failure is not None:
                    raise self._failure
                now = time.monotonic()
                self._end_unwanted(now)
                self._acknowledge(now)
                self._begin()
                # guard: worker-leaves-reported - an outcome that isn't reported yet would be lost
                # with the pod
                if self._calls.is_over():
                    return self._exit_code
                self._handle(self._executor.wait(self._seconds_left(now)))
        finally:
            self._executor.close()

    def _begin(self) -> None:
        while (call := self._calls.begin()) is not None:
            error = self._attempts.refusal(call)
            if error is not None:
                self._calls.end(call.key)
                self._report(call, AttemptEnded(call.key, error=error))
                continue
            self._attempts.prepare(call, self)
            self._executor.start(self._attempts.work(call))

    def _handle(self, events: Sequence[ExecutorEvent]) -> None:
        for event in events:
            if isinstance(event, AttemptBegun):
                self._note_begin(event.key)
            elif isinstance(event, AppNotForkable):
                _log.warning("each call imports the app again, since its module has %s", event.reason)
            elif isinstance(event, AttemptEnded):
                self._take_end(event)
            elif (call := self._calls.running.get(event.key)) is not None:
                call.note(event)
                if call.acknowledged:
                    self._attempts.write_heartbeats(call)

    def _note_begin(self, key: str) -> None:
        call = self._calls.running.get(key)
        if call is None:
            return
        call.began_at, call.started_at = time.monotonic(), time.time()
        seconds = call.entry["call"].get("policy", {}).get("timeoutSeconds")
        if seconds is not None:
            overdue = call.began_at + seconds + OVERDUE_SECONDS
            call.kill_at = overdue if call.kill_at is None else min(call.kill_at, overdue)

    def _end_unwanted(self, now: float) -> None:
        for call in self._calls.unwanted(now):
            _log.info("%s, attempt %d, is no longer wanted", call.entry["appTask"], call.entry["attempt"])
            self._cancel(call)
        for call in self._calls.running.values():
            # guard: worker-kills-overdue - a body that blocks its event loop would occupy the pod
            # forever
            if call.kill_at is not None and now >= call.kill_at and not call.killed:
                call.killed = True
                if not call.cancelled:
                    call.killed_for = _timed_out(call)
                self._executor.kill(call.key)

    def _cancel(self, call: OpenCall) -> None:
        call.cancelled = True
        kill_at = time.monotonic() + GIVE_WAY_SECONDS
        call.kill_at = kill_at if call.kill_at is None else min(call.kill_at, kill_at)
        self._executor.cancel(call.key)

    def _acknowledge(self, now: float) -> None:
        for call in self._calls.running.values():
            if call.began_at is not None and now >= call.began_at + ACKNOWLEDGE_SECONDS:
                self._acknowledge_call(call)

    def _acknowledge_call(self, call: OpenCall) -> None:
        if not call.acknowledged and call.heartbeats is not None:
            call.acknowledged = True
            call.heartbeats.begun(timestamp(call.started_at), self._node)
            self._attempts.write_heartbeats(call)

    def _seconds_left(self, now: float) -> float:
        moments = [*self._calls.moments()]
        for call in self._calls.running.values():
            if call.kill_at is not None and not call.killed:
                moments.append(call.kill_at)
            if call.began_at is not None and not call.acknowledged:
                moments.append(call.began_at + ACKNOWLEDGE_SECONDS)
        return max(min(moments, default=now + IDLE_SECONDS) - now, 0.0)

    # Ends

    def _take_end(self, event: AttemptEnded) -> None:
        call = self._calls.running.get(event.key)
        if call is None:
            return
        if event.disrupted and call.began_at is None and not call.cancelled:
            # Its process was never created, so none of the call has run: it may start again.
            self._executor.start(self._attempts.work(call))
            return
        self._calls.end(event.key)
        if call.fenced:
            self._drop(call)
        elif event.disrupted:
            # Not reported: the pod ends, and the operator judges by the end of the pod.
            _log.error("%s", event.error["message"] if event.error else "the processes of calls were lost")
            self._drop(call)
            self._stop(EXIT_TERMINATED)
        elif (
            call.killed_for is None
            and event.output is None
            and (event.error is None or (call.cancelled and call.killed))
        ):
            # Cancelled, and ended by itself or by a kill: there is no outcome to report.
            self._drop(call)
            self._calls.forget(call)
        else:
            self._report(call, event)

    def _drop(self, call: OpenCall) -> None:
        self._calls.report(call)
        self._attempts.drop(call, self)

    def _report(self, call: OpenCall, event: AttemptEnded) -> None:
        self._calls.report(call)
        self._attempts.report(call, event, self)

    def _delivered(self, key: str, delivery: Delivery) -> None:
        self._calls.reported(key)
        if delivery in (Delivery.UNAUTHORIZED, Delivery.REFUSED):
            # No later report of this pod would be accepted either. Its exit code tells the
            # operator.
            self._stop(EXIT_CODES[delivery])

    def _fence(self, key: str) -> None:
        call = self._calls.running.get(key)
        if call is not None and not call.fenced:
            call.fenced = True
            self._cancel(call)

    def _terminate(self) -> None:
        self._stop(EXIT_TERMINATED)
        for call in self._calls.running.values():
            if not call.cancelled:
                call.cancelled = True
                # Not killed: the kubelet kills the pod when its grace period is over.
                self._executor.cancel(call.key)

    def _stop(self, exit_code: int) -> None:
        self._calls.close()
        if self._exit_code == EXIT_REPORTED:
            self._exit_code = exit_code


def _timed_out(call: OpenCall) -> ErrorFields:
    task, attempt = call.entry["call"]["task"], call.entry["attempt"]
    limit = call.entry["call"].get("policy", {}).get("timeoutSeconds", 0.0)
    return ErrorFields(
        type=reasons.TIMED_OUT,
        message=f"attempt {attempt} of {task!r} was still running after {limit:g} s "
        "(timeout_seconds) and didn't end when it was told to: it was killed",
        retryable=True,
    )
