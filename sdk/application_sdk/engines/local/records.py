"""What a ledger holds, as frozen values: the run, its calls, their attempts. `ledger` reads and
writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from application_sdk.execution.engine import ScheduledCall
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields, Outcome, ProgressFields

Phase: TypeAlias = Literal["Running", "Stalled", "Succeeded", "Failed", "Cancelled"]
"""`Running` is also the phase of a run whose process died: the lock tells the two apart."""
Budget: TypeAlias = Literal["App", "Disruption", "None"]

TERMINAL_PHASES: frozenset[Phase] = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is created with and keeps. Times in seconds since the epoch."""

    name: str
    uid: str
    """Tells this run from all others. Idempotency keys and the route's random numbers are made of
    it."""
    app: str
    """The app's name."""
    entry: str
    """`module:Class`."""
    directory: str
    """First on the import path."""
    entrypoint: str
    input: JSONObject
    """As it was given; of a run that has begun, with its defaults filled in."""
    correlation_id: str
    replay_rules: int
    created_at: float
    generation: int = 1
    """Grows by one with each `retry`, which replaces the ledger."""
    continued_from: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord(NewRun):
    """The current state of a run."""

    phase: Phase = "Running"
    finished_at: float | None = None
    output: JSON = None
    error: ErrorFields | None = None
    continued_as: str | None = None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call that the route made."""

    call: ScheduledCall
    made_after: int
    """How many completions the route had received when it made this call."""
    scheduled_at: float
    not_before: float | None = None
    """Earliest start of the next attempt: the retry's backoff."""
    progress: ProgressFields | None = None
    heartbeat: JSONObject | None = None
    """Latest details, for the next attempt."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt at a call. `reason` is None while it runs, and in a killed run until that is
    resumed."""

    key: str
    attempt: int
    started_at: float
    finished_at: float | None = None
    reason: str | None = None
    budget: Budget | None = None
    message: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class CommittedCall:
    """A checkpoint as it is listed for people."""

    sequence: int
    key: str
    task: str
    outcome: Outcome
    attempts: int
    at: float
    payload: JSON
