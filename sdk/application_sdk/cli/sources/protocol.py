"""The port that verbs read through: what every place of runs can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from application_sdk.cli.sources.records import Run, RunDetails

if TYPE_CHECKING:
    from application_sdk.replay.history import ExportedRun


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which of a run's logs. An empty field stands for all."""

    run: str
    task: str = ""
    """Name of a task, first digits of a call's key, or `driver`."""
    attempt: int = 0
    follow: bool = False


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that an attempt wrote."""

    task: str
    key: str
    attempt: int
    text: str
    at: str = ""
    """RFC 3339, where the place notes it for each line."""
    node: str = ""


Note = Callable[[str], None]
"""Takes what is worth saying beside the result."""


def wanted(task: str, name: str, key: str) -> bool:
    """Whether a call is meant by what was given for TASK: nothing, the task's name, or the first digits of its key."""
    return not task or task == name or (len(task) >= 4 and key.startswith(task))


class Place(Protocol):
    """Runs somewhere. Errors are `AppError`s that say what is wrong, and what to do."""

    @property
    def title(self) -> str:
        """Where it is, in words."""
        ...

    @property
    def here(self) -> bool:
        """Whether it is this machine."""
        ...

    def names(self) -> list[str]:
        """Names of all runs."""
        ...

    def runs(self, app: str | None, note: Note) -> list[Run]:
        """All runs, or those of one app, in any order."""
        ...

    def details(self, run: str) -> RunDetails:
        """A run with its calls."""
        ...

    def changes(self, run: str) -> Iterator[RunDetails]:
        """The run as it is now, and again whenever something of it may have changed, until it is over."""
        ...

    def logs(self, query: LogQuery, note: Note) -> Iterator[LogLine]:
        """What the attempts wrote, as far as it is kept, in the order of time where that is known."""
        ...

    def export(self, run: str) -> ExportedRun:
        """A run's past."""
        ...
