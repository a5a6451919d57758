"""The state of a call while its run is executed, and how it is restored from the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from application_sdk.engines.local.records import AttemptRecord, CallRecord
from application_sdk.engines.processes.retry_policy import AttemptCounts
from application_sdk.execution.engine import ScheduledCall
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields


@dataclass(slots=True)
class CallState:
    """One call. Times in seconds since the epoch."""

    call: ScheduledCall
    scheduled_at: float
    attempt: int = 0
    """Number of the latest attempt, of this execution of the run or an earlier one."""
    failures: int = 0
    disruptions: int = 0
    not_before: float = 0.0
    heartbeat: JSONObject | None = None
    started_at: float = 0.0
    cancelled: bool = False
    """Whether the run was cancelled while this call was open."""
    abandoned: bool = False
    """Whether it is cancelled because the route no longer waits for it."""
    ended_for: ErrorFields | None = None
    """Why the engine itself has ended the attempt under way."""

    def counts(self) -> AttemptCounts:
        """The call's attempts so far."""
        return AttemptCounts(self.scheduled_at, self.failures, self.disruptions, self.attempt)


def restore(calls: Iterable[CallRecord], attempts: Iterable[AttemptRecord]) -> dict[str, CallState]:
    """The calls of earlier executions, by key, with the attempts that were charged to them.

    An attempt without an end was running when the whole run was killed: a disruption, and its
    number is used up.
    """
    states = {
        record.call.key: CallState(
            record.call,
            record.scheduled_at,
            not_before=record.not_before or 0.0,
            heartbeat=record.heartbeat,
        )
        for record in calls
    }
    for attempt in attempts:
        state = states[attempt.key]
        state.attempt = max(state.attempt, attempt.attempt)
        if attempt.reason is None or attempt.budget == "Disruption":
            state.disruptions += 1
        elif attempt.budget == "App":
            state.failures += 1
    return states
