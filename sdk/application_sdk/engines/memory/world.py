"""What outlives a crashed driver in memory: the ledger, the calls, the tasks in flight, the virtual clock.

A `World` belongs to one run. `engine.MemoryEngine` is one driver's view of it; the world goes on from where the
previous driver left it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from application_sdk.attempt.attempt import AttemptResult
from application_sdk.contracts.errors import ContractValidationError
from application_sdk.engines.memory.attempts import AttemptRunner
from application_sdk.execution.engine import CANCEL_KEY, Completion, ScheduledCall
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.retry import wait_seconds
from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields

START: float = 1_767_225_600.0
"""When a run's virtual clock begins: 2026-01-01 00:00 UTC."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt that was made."""

    key: str
    task: str
    attempt: int
    input: JSONObject
    reason: str = ""
    """How it ended: `Completed`, or the word that `TaskFailedError.type` would have."""


FailureOf: TypeAlias = Callable[[ScheduledCall, int], BaseException | None]
"""The failure to inject in place of an attempt (numbered from 1), or None to run the body."""
DurationOf: TypeAlias = Callable[[ScheduledCall, int], float]
"""How long an attempt takes in virtual time, in seconds."""


@dataclass(order=True, slots=True)
class _Event:
    at: float
    number: int
    happen: Callable[[], None] = field(compare=False)


class World:
    """The state of a run, and what goes on in it while nobody looks."""

    def __init__(
        self,
        runner: AttemptRunner,
        *,
        started_at: float = START,
        failure_of: FailureOf = lambda call, attempt: None,
        duration_of: DurationOf = lambda call, attempt: 0.0,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._runner = runner
        self._failure_of = failure_of
        self._duration_of = duration_of
        self._chance = chance
        self._events: list[_Event] = []
        self._numbers = 0
        self._abandoned: set[str] = set()
        self._cancelled = False
        """Whether the run is cancelled by now."""
        self._under_way: dict[str, int] = {}
        """The attempt of each call that has begun and isn't over."""
        self._heartbeats: dict[str, JSONObject] = {}
        self.begun_with: JSONObject | None = None
        """The run's input with its defaults filled in, if any were."""
        self.now = started_at
        self.ledger: list[Completion] = []
        self.calls: dict[str, ScheduledCall] = {}
        """Every call that a driver ever scheduled, by key."""
        self.executions: list[Execution] = []
        """Every attempt whose body was run, whose failure was injected, or that was abandoned under way, in order."""

    def schedule(self, call: ScheduledCall) -> None:
        """Have a call executed; one that is known already is left as it is."""
        if call.key in self.calls:
            return
        self.calls[call.key] = call
        if call.role == "timer":
            self._later(call.seconds or 0.0, lambda: self._commit(_succeeded(call, 1, None, self.now)))
        else:
            self._begin(call, 1, self.now)

    def abandon(self, key: str) -> None:
        """Cancel a call that nobody waits for: its attempt under way is ended where it stands."""
        call = self.calls.get(key)
        if call is None or key in self._abandoned or any(completion.key == key for completion in self.ledger):
            return
        self._abandoned.add(key)
        attempt = self._under_way.pop(key, None)
        if attempt is not None:
            # Its body had begun. Nobody can say how far it had come, so nothing of it is run here.
            reason = reasons.CANCELLED if self._cancelled and not call.cleanup else reasons.ABANDONED
            self.executions.append(Execution(key, call.task, attempt, call.input, reason))
        attempts = sum(execution.key == key for execution in self.executions)
        self._commit(Completion(key, call.task, "Cancelled", self.now, attempts))

    def cancel_run(self, at: float) -> None:
        """Have the run's cancellation committed at a time, in seconds since the epoch."""

        def cancel() -> None:
            self._cancelled = True
            self._commit(Completion(CANCEL_KEY, CANCEL_KEY, "Cancelled", self.now, attempts=0))

        self._later(at - self.now, cancel)

    def close(self) -> None:
        """Release what executes attempts; a further step takes it up again."""
        self._runner.close()

    def step(self) -> bool:
        """Let the next thing happen, the clock going on to it. False when there is nothing more to come."""
        if not self._events:
            return False
        event = heapq.heappop(self._events)
        self.now = max(self.now, event.at)
        event.happen()
        return True

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._events, _Event(self.now + max(seconds, 0.0), self._numbers, happen))

    def _commit(self, completion: Completion) -> None:
        self.ledger.append(completion)

    # Attempts

    def _begin(self, call: ScheduledCall, attempt: int, first_at: float) -> None:
        self._under_way[call.key] = attempt
        duration = self._duration_of(call, attempt)
        end = _end_by_a_limit(call, attempt, duration, self.now, first_at)
        if end is None:
            self._later(duration, lambda: self._finish(call, attempt, first_at))
        else:
            self._later(end.at - self.now, lambda: self._finish(call, attempt, first_at, end.error))

    def _finish(self, call: ScheduledCall, attempt: int, first_at: float, timed_out: ErrorFields | None = None) -> None:
        if call.key in self._abandoned:
            return
        del self._under_way[call.key]
        place, execution = len(self.executions), Execution(call.key, call.task, attempt, call.input)
        self.executions.append(execution)
        result = self._attempt(call, attempt) if timed_out is None else AttemptResult(error=timed_out)
        reason = reasons.CANCELLED if result.output is None else reasons.COMPLETED
        reason = reason if result.error is None else result.error["type"]
        self.executions[place] = replace(execution, reason=reason)
        if result.error is not None:
            self._failed(call, attempt, first_at, result.error)
        elif result.output is not None:
            self._commit(_succeeded(call, attempt, result.output, self.now))
        else:
            self._commit(Completion(call.key, call.task, "Cancelled", self.now, attempt))

    def _attempt(self, call: ScheduledCall, attempt: int) -> AttemptResult:
        injected = self._failure_of(call, attempt)
        if injected is not None:
            return AttemptResult(error=error_fields(injected, call.policy["retry"].get("nonRetryable", [])))
        try:
            return self._runner.run(call, attempt, self._heartbeats)
        except ContractValidationError as error:
            return AttemptResult(error=error_fields(error))

    def _failed(self, call: ScheduledCall, attempt: int, first_at: float, error: ErrorFields) -> None:
        retry = call.policy["retry"]
        if error.get("retryable", True) and attempt < retry["maxAttempts"]:
            wait = wait_seconds(retry, attempt, self._chance(), error)
            limit = call.policy.get("scheduleToCloseSeconds")
            if limit is None or self.now + wait - first_at <= limit:
                self._later(wait, lambda: self._begin(call, attempt + 1, first_at))
                return
        ended: ErrorFields = {**error, "attempt": attempt}
        self._commit(Completion(call.key, call.task, "Failed", self.now, attempt, error=ended))


class _TimedOut(NamedTuple):
    at: float
    error: ErrorFields


def _end_by_a_limit(
    call: ScheduledCall, attempt: int, duration: float, now: float, first_at: float
) -> _TimedOut | None:
    """The limit that an attempt of that duration meets first, if any. Its body is never run: it wouldn't have ended."""
    limit = call.policy.get("timeoutSeconds", math.inf)
    whole = call.policy.get("scheduleToCloseSeconds", math.inf)
    # guard: kit-keeps-schedule-to-close - a call would outlast the time that it may take
    if now + duration > first_at + whole and first_at + whole <= now + limit:
        message = f"{call.task!r} wasn't done {whole:g} s after it was called (schedule_to_close_seconds)"
        return _TimedOut(first_at + whole, ErrorFields(type=reasons.TIMED_OUT, message=message, retryable=False))
    # guard: kit-keeps-timeout - every engine ends such an attempt
    if duration > limit:
        message = f"attempt {attempt} of {call.task!r} was still running after {limit:g} s (timeout_seconds)"
        return _TimedOut(now + limit, ErrorFields(type=reasons.TIMED_OUT, message=message, retryable=True))
    return None


def _succeeded(call: ScheduledCall, attempt: int, output: JSONObject | None, at: float) -> Completion:
    return Completion(call.key, call.task, "Succeeded", at, attempt, output=output)
