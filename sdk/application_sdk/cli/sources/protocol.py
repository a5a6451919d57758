"""The protocol through which verbs read runs of any source."""

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
    """RFC 3339. Empty for a source without a time for each line."""
    node: str = ""


Note = Callable[[str], None]
"""Receives messages for the user beside the result."""


def is_selected(task: str, name: str, key: str) -> bool:
    """Whether TASK selects a call: by the task's name, by the first digits of the key, or by being empty."""
    return not task or task == name or (len(task) >= 4 and key.startswith(task))


class RunSource(Protocol):
    """Reads runs. Its errors are `AppError`s that name the problem and the remedy."""

    @property
    def title(self) -> str:
        """The name of the source in messages, such as `this machine`."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether the source is this machine."""
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
        """Yields the run now, and after each change until it is over."""
        ...

    def logs(self, query: LogQuery, note: Note) -> Iterator[LogLine]:
        """Yields the lines that the attempts wrote, as far as they are kept, ordered by time where it is known."""
        ...

    def export(self, run: str) -> ExportedRun:
        """The run's ledger and inputs as a document that `apprun check --replay` reads."""
        ...
