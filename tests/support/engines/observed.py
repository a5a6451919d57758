"""What a run shows to those who use it, in a form that is compared between engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from tests.support.engines.catalog import Program

from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields


@dataclass(frozen=True)
class Failure:
    """What a route, or who started the run, can branch on."""

    type: str
    retryable: bool

    @staticmethod
    def of(error: ErrorFields | None) -> Failure | None:
        return None if error is None else Failure(error["type"], error.get("retryable", True))


@dataclass(frozen=True)
class Completion:
    """One checkpoint."""

    key: str
    task: str
    outcome: str
    attempts: int
    failure: Failure | None


@dataclass(frozen=True)
class Attempt:
    """One attempt that brought no result."""

    task: str
    number: int
    reason: str
    budget: str


@dataclass(frozen=True)
class Observed:
    """One run. Idempotency keys and heartbeats are in the output: the programs put them there."""

    outcome: str
    output: JSON
    failure: Failure | None
    completions: Sequence[Completion]
    """In commit order."""
    attempts: Sequence[Attempt]
    """By task and number."""


class Engine(Protocol):
    """Runs programs. Engines differ in nothing else."""

    name: str

    def observe(self, program: Program, *, kill_driver: bool = False) -> Observed:
        """Run it to its end. `kill_driver` kills what executes the route, once the first completion is committed."""
        ...


def observed(
    outcome: str,
    output: JSON,
    error: ErrorFields | None,
    completions: Sequence[Completion],
    attempts: Sequence[Attempt],
    uid: str,
) -> Observed:
    """The values of an engine, less the identity of its run, which begins each idempotency key."""
    lines = cast("list[str]", output["lines"]) if isinstance(output, Mapping) else None
    said: JSONObject | None = None if lines is None else {"lines": [line.replace(f"{uid}/", "RUN/") for line in lines]}
    return Observed(
        outcome,
        said,
        Failure.of(error) if outcome != "Cancelled" else None,
        tuple(completions),
        tuple(sorted(attempts, key=lambda attempt: (attempt.task, attempt.number))),
    )
