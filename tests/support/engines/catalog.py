"""What each program must come to, on every engine. A failure ends the run, unless the program catches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from application_sdk.testing.runs import Duration
from application_sdk.wire.digest import JSONObject


@dataclass(frozen=True)
class Program:
    """An entry point of `programs.Programs`, and what it says."""

    name: str
    lines: tuple[str, ...] = ()
    """Its output. Empty for a run that doesn't succeed."""
    cause: str = ""
    """Type of the failure of a task that fails the run."""
    error: str = ""
    """Type of the run's error; TaskFailedError where a task is the cause."""
    phase: str = ""
    """Where the run stands then, if neither an output nor an error says so."""
    input: JSONObject = field(default_factory=dict)
    cancel: bool = False
    """Whether the run is cancelled after its first completion."""
    unordered: bool = False
    """Whether nothing determines in which order calls are completed."""
    keys_of_its_own: bool = False
    """Whether inputs of tasks are made of the run's identity or time, so that keys differ from run to run."""
    ends_process: bool = False
    """Whether a task ends the process that it runs in."""
    durations: Mapping[str, Duration] | None = None
    """For the test kit, where only these take (virtual) time."""

    @property
    def fails_with(self) -> str:
        return "TaskFailedError" if self.cause else self.error

    @property
    def outcome(self) -> str:
        return self.phase or ("Failed" if self.fails_with else "Succeeded")


def _seconds(step: object) -> float:
    return float(getattr(step, "seconds", 0.0))


SECONDS = {"step": _seconds}

PROGRAMS = (
    Program("sequence", lines=("one", "two", "three in a thread")),
    Program("side-by-side", lines=("last", "second", "first"), durations=SECONDS),
    Program("collected-errors", lines=("works", "ValueError after 2"), unordered=True),
    Program("grouped", lines=("TaskFailedError task 'permanent' failed after 1 attempt: NonRetryableError: never",)),
    Program("mapped", lines=("0", "1", "2", "3", "4"), unordered=True),
    Program("with-a-rate", lines=("0", "1", "2"), unordered=True),
    Program("retried", lines=("attempt 3",)),
    Program("used-up", lines=("ValueError after 2", "went on")),
    Program("failing", cause="ValueError"),
    Program("out-of-time", cause="ValueError"),
    Program("non-retryable", cause="NonRetryableError"),
    Program("non-retryable-by-name", cause="KeyError"),
    Program("retried-when-asked", lines=("attempt 2",)),
    Program("late-attempt", lines=("attempt 2",)),
    Program("late-call", cause="TimedOut", durations={"too_slow": 30.0}),
    Program("resumed", lines=("attempt 2 from 7 with the same key",)),
    Program("silent", lines=("attempt 2 from 7 with the same key",)),
    Program("dying", lines=("attempt 2",), ends_process=True),
    Program("beside", lines=("plain in attempt 1", "flaky in attempt 3", "ValueError after 3",
                             "NonRetryableError after 1", "slow in attempt 2")),
    Program("reused", lines=("plain in attempt 1", "plain in attempt 1", "flaky in attempt 3", "ValueError after 3")),
    Program("leaving", cause="SystemExit"),
    Program("exception-group", cause="ExceptionGroup"),
    Program("abandoned", lines=("next",), durations=SECONDS),
    Program("keyed", lines=("RUN/038c17b82dfff2891e5b3a0ab96ce946", "RUN/bb1e9bf033e471fe8c772a3921a479ed",
                             "RUN/76ca3815981d08a96a28e204844a30c0")),
    Program("sleeping", lines=("slept long enough: True",)),
    Program("chance-and-time", lines=("drawn once: True, and anew: True",), keys_of_its_own=True),
    Program("values", lines=(str(2**70), "1234567890123456789", "nan", "2026-11-01T01:30:00-05:00")),
    Program("large-output", cause="PayloadTooLargeError"),
    Program("wrong-type", cause="ContractValidationError"),
    Program("refused-call", error="ContractValidationError"),
    Program("refused-input", phase="Stalled", error="InvalidInput", input={"count": 11}),
    Program("threads", lines=("own own",)),
    Program("broken", error="LookupError"),
    Program("cancelled", phase="Cancelled", cancel=True, unordered=True, durations=SECONDS),
)  # fmt: skip
BY_NAME = {program.name: program for program in PROGRAMS}
