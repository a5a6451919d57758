"""The protocol between an engine and its executors: attempts to make, and the events of their
lives.

`executor` and the local engine's `inprocess` are the executors. Which one a run uses changes
nothing else.
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
    """The file for the output of an attempt with a process of its own; None for the output of this
    process."""
    state: Path | None = None
    """Where `self.context.load_state` looks."""
    app_state: JSONObject | None = None
    """The app's state by key, where it was handed over with the call."""
    env: JSONObject = field(default_factory=dict)
    """Environment variables of an attempt with a process of its own, beside those of the engine."""
    context: JSONObject = field(default_factory=dict)
    """Fields of the attempt's log lines."""


@dataclass(frozen=True, slots=True)
class AttemptBegun:
    """The attempt runs: its time limits count from here."""

    key: str


@dataclass(frozen=True, slots=True)
class AttemptHeartbeat:
    """An attempt reports progress, or details for the next attempt."""

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
    """Whether something outside of the task ended it, so that the task's retries aren't charged."""
    state: Sequence[StateWrite] = ()
    """State to be saved together with the output."""
    log: str = ""
    """The last lines that a failed attempt logged and printed."""


@dataclass(frozen=True, slots=True)
class AppNotForkable:
    """The app's module can't be forked, so each attempt imports it and takes longer to start. Sent
    once."""

    reason: str
    """What of the app's module can't be forked."""


ExecutorEvent: TypeAlias = AttemptBegun | AttemptHeartbeat | AttemptEnded | AppNotForkable


class Executor(Protocol):
    """Makes attempts, one at a time for each call. Used from one thread, `wake` excepted."""

    def start(self, spec: AttemptSpec) -> None:
        """Begin an attempt. Its end comes out of `wait`, exactly once."""
        ...

    def wait(self, seconds: float) -> Sequence[ExecutorEvent]:
        """What has happened, in order; waits up to so long for the first of it. Empty when nothing
        has."""
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
        """End all attempts at once and release everything. Their ends are no longer reported."""
        ...
