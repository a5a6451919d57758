"""What passes between an engine and its executors: an attempt to be made, and what is told of it.

`executor` and the local engine's `inprocess` are the executors; which one a run uses changes nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from application_sdk.attempt.task_context import AttemptInfo
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields, StateWrite


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """One attempt to be made."""

    key: str
    input: JSONObject
    info: AttemptInfo
    log: Path | None = None
    """Gets what the attempt prints, when it has a process of its own; None for the output of this one."""
    state: Path | None = None
    """Where `self.context.load_state` looks."""
    context: JSONObject = field(default_factory=dict)
    """What the attempt's log lines are about, for those who collect them."""


@dataclass(frozen=True, slots=True)
class AttemptBegun:
    """The attempt runs: its limits count from here."""

    key: str


@dataclass(frozen=True, slots=True)
class AttemptHeartbeat:
    """An attempt tells how far it is, or leaves details for the next one."""

    key: str
    progress: ProgressFields | None = None
    heartbeat: JSONObject | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt is over. With neither output nor error, it gave way to a cancellation."""

    key: str
    output: JSONObject | None = None
    error: ErrorFields | None = None
    exit_code: int | None = None
    """Of a process that ended without a result; negative for the signal that ended it."""
    disrupted: bool = False
    """Whether something outside of the task ended it."""
    state: Sequence[StateWrite] = ()
    """What is to be kept together with the output."""
    log: str = ""
    """The last that an attempt which failed has logged and printed."""


@dataclass(frozen=True, slots=True)
class AppNotForkable:
    """Each attempt imports the app, and takes longer to start. Told once."""

    reason: str
    """What of the app's module can't be forked."""


ExecutorEvent: TypeAlias = AttemptBegun | AttemptHeartbeat | AttemptEnded | AppNotForkable


class Executor(Protocol):
    """Makes attempts, one at a time for each call. Used from one thread, `wake` excepted."""

    def start(self, work: AttemptSpec) -> None:
        """Begin an attempt. Its end comes out of `wait`, exactly once."""
        ...

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        """What has happened, in order; waits up to so long for the first of it. Empty when nothing has."""
        ...

    def cancel(self, key: str) -> None:
        """Ask the attempt of this call to end: it may clean up first."""
        ...

    def kill(self, key: str) -> None:
        """End the attempt at once, if the executor can."""
        ...

    def wake(self) -> None:
        """Make `wait` return soon. May be called from signal handlers and other threads."""
        ...

    def close(self) -> None:
        """End all attempts at once and release everything. Their ends aren't told any more."""
        ...
