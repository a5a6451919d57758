"""What an engine tells of a run while it executes it, for those who look on: the CLI's display, tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.wire.fields import ErrorFields, ProgressFields


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run goes on from a ledger with so many checkpoints."""

    checkpoints: int


@dataclass(frozen=True, slots=True)
class Called:
    """The route made a call, or an earlier life's call again."""

    call: ScheduledCall
    due: float | None = None
    """Timers: when it fires."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    call: ScheduledCall
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed and another will follow at `retry_at`. A final failure is a `Committed`."""

    call: ScheduledCall
    attempt: int
    error: ErrorFields
    retry_at: float
    disrupted: bool


@dataclass(frozen=True, slots=True)
class Progressed:
    call: ScheduledCall
    progress: ProgressFields


@dataclass(frozen=True, slots=True)
class Committed:
    """A completion is on the disk. `call` is None for a cancellation of the run."""

    completion: Completion
    call: ScheduledCall | None


@dataclass(frozen=True, slots=True)
class NotYielding:
    """The route has computed for too long without waiting for anything. Told from another thread than all else."""

    message: str


@dataclass(frozen=True, slots=True)
class NotForked:
    """Attempts aren't forked from the imported app: each imports it. `reason` is what of its module can't be forked."""

    reason: str


Event: TypeAlias = Replayed | Called | AttemptStarted | AttemptFailed | Progressed | Committed | NotYielding | NotForked
Observer: TypeAlias = Callable[[Event], None]


def ignore_event(notice: Event) -> None:
    """Looks away."""
