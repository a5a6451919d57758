"""The state of a driver task's call while `driver_tasks` executes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application_sdk.attempt.task_context import AttemptInfo
    from application_sdk.execution.engine import ScheduledCall
    from application_sdk.wire.digest import JSONObject
    from application_sdk.wire.fields import AttemptFields, ErrorFields, Policy


@dataclass(frozen=True, slots=True)
class CallContext:
    """What all calls of a run have in common."""

    info: AttemptInfo
    """A template for attempts: run, uid and limits. Each call fills in the rest."""
    run: str
    node: str


@dataclass(slots=True, eq=False)
class CallState:
    """One open call. Times are seconds of the monotonic clock, but `started_at` since the epoch."""

    call: ScheduledCall
    policy: Policy
    attempt: int = 0
    failures: int = 0
    disruptions: int = 0
    first_at: float = 0.0
    ready_at: float = 0.0
    kill_at: float = 0.0
    started_at: float = 0.0
    kill_reason: ErrorFields | None = None
    """Why its current attempt was killed, if it was."""
    cancelled: ErrorFields | None = None
    log: str = ""
    heartbeat: JSONObject | None = None
    """The latest heartbeat details, for the next attempt."""
    history: list[AttemptFields] = field(default_factory=list)
