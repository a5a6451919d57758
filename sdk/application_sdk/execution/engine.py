"""The port between the route runtime and whatever executes task calls and keeps the ledger.

`replay.run` calls it; each package under `engines` implements it. No engine is known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields, Identity, Outcome, Policy, ReuseFields, Role, RunsIn

if TYPE_CHECKING:
    from application_sdk.wire.pod_fields import PodFields

CANCEL_KEY: Final = names.CANCEL_KEY
"""A completion with this key answers no call: it says that the run is to be cancelled. The route gets a CancelledError
at that place of the ledger, in replay as well."""


@dataclass(frozen=True, slots=True)
class ScheduledCall:
    """One call that the route made: what an engine needs to have it executed. Its fields become an AppTask's spec."""

    key: str
    role: Role
    task: str
    entrypoint: str
    sequence: int
    input: JSONObject
    identity: Identity
    policy: Policy
    pod: PodFields
    line: str
    seconds: float | None = None
    """Timers: how long after it was scheduled it fires."""
    cleanup: bool = False
    """Whether the route had been cancelled when it made the call: such a call is still to be executed."""
    counted: JSONObject | None = None
    """The part of the input that the identity rests on; None for all of it. No part of an AppTask."""
    runs_in: RunsIn = "pod"
    """Where the app wants it executed. No part of the identity: a call keeps its key wherever it runs."""
    reuse: ReuseFields | None = None
    """The warm pods that it may be executed in. No part of the identity either."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One checkpoint of the ledger with its payload, as the route gets it.

    `at` is the commit's time in seconds since the epoch; the route's clock stands there until the next delivery.
    """

    key: str
    task: str
    outcome: Outcome
    at: float
    attempts: int = 1
    output: JSON = None
    error: ErrorFields | None = None


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """What the engine knows of a call made earlier in this run; a divergence message compares it with today's call."""

    key: str
    task: str
    entrypoint: str
    input: JSONObject
    identity: Identity
    line: str


class Engine(Protocol):
    """Schedules calls and hands out completions in commit order, those of previous executions of the run first.

    A driver that was restarted gets the same completions in the same order, then new ones: replay is the same path with
    an older ledger.
    """

    def begun_with(self) -> JSONObject | None:
        """The input, defaults filled in, with which a previous execution of the route has begun; None if there is
        none on
        record."""
        ...

    def begin(self, input: JSONObject) -> None:
        """Put the input on record, defaults filled in: later executions begin with it, whatever the defaults are then.
        On
        return it outlives this process. Called before any call is scheduled, and only where defaults were filled in."""
        ...

    def history_length(self) -> int:
        """How many completions were committed when this execution of the route began: `receive` gives these first, and
        until they are consumed the route schedules nothing."""
        ...

    def schedule(self, calls: Sequence[ScheduledCall]) -> None:
        """Have these calls executed. Idempotent: a call that a previous execution scheduled is adopted by its key."""
        ...

    def abandon(self, keys: Sequence[str]) -> None:
        """Nobody waits for these calls any more: have their attempts cancelled, at nobody's charge, and their places
        given to other calls at once. Each still completes, as Cancelled unless it was quicker. Idempotent; keys of
        calls that are completed or that the engine doesn't know mean nothing."""
        ...

    def in_flight(self) -> Sequence[str]:
        """Keys of the calls that previous executions scheduled and that aren't among the `history_length`
        completions, in the order of their making.

        A route that has consumed these and hasn't made such a call will never make it.
        """
        ...

    def receive(self) -> Sequence[Completion]:
        """Block until at least one further completion is committed, and return all at hand, in commit order."""
        ...

    def recorded(self, key: str) -> RecordedCall | None:
        """The call with this key as it was scheduled by a previous execution, or None."""
        ...
