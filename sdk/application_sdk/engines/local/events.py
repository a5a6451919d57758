"""Events of a run while the local engine executes it, for observers: the CLI's display, tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from application_sdk.execution.engine import Completion, ScheduledCall
from application_sdk.wire.fields import ErrorFields, ProgressFields


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run resumes from a ledger with this many checkpoints."""

    checkpoints: int


@dataclass(frozen=True, slots=True)
class Called:
    """The route made a call, or repeated one of an earlier execution."""

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
    """The route has computed for too long without awaiting anything. Sent from another thread than
    other events."""

    message: str


@dataclass(frozen=True, slots=True)
class NotForked:
    """Attempts aren't forked from the imported app: each imports it. `reason` is what of its module
    can't be forked."""

    reason: str


Event: TypeAlias = Replayed | Called | AttemptStarted | AttemptFailed | Progressed | Committed | NotYielding | NotForked
Observer: TypeAlias = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """An observer that does nothing."""
