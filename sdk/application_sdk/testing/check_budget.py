"""What a long `check_durability` says meanwhile, and when it has to come to an end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

FIRST_LINE_SECONDS: Final = 2.0
"""Until then a check is quiet: most are over."""
INTERVAL_SECONDS: Final = 5.0


class OutOfTimeError(Exception):
    """The time that the check may take is over."""


class CheckProgress:
    """Counts what was done, tells it on stderr every few seconds, and watches the time."""

    def __init__(self, title: str, max_seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._clock = clock
        self._began = clock()
        self._max_seconds = max_seconds
        self._next_line = FIRST_LINE_SECONDS
        self._order = ""
        self._bodies = 0
        self.crashes = 0
        """Crashes that were tried."""

    @property
    def seconds(self) -> float:
        """Since the check began."""
        return self._clock() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Until the check has to come to an end; None when it may take as long as it likes."""
        return None if self._max_seconds is None else max(self._max_seconds - self.seconds, 1.0)

    def begin_order(self, words: str) -> None:
        """What is tried from now on, in words."""
        self._order = words

    def before_body(self, task: str) -> None:
        """A task's body is about to run. Raises OutOfTimeError."""
        self._bodies += 1
        self._print_progress(f"executing {task}()")
        self._check_time()

    def before_crash(self) -> None:
        """A crash is about to be tried. Raises OutOfTimeError."""
        self._print_progress("")
        self._check_time()
        self.crashes += 1

    def covered(self) -> str:
        """What was done so far, in words."""
        return (
            f"{_count(self.crashes, 'crash', 'crashes')}, {_count(self._bodies, 'task body', 'task bodies')} executed"
        )

    def _check_time(self) -> None:
        if self._max_seconds is not None and self.seconds > self._max_seconds:
            raise OutOfTimeError

    def _print_progress(self, doing: str) -> None:
        seconds = self.seconds
        if seconds < self._next_line:
            return
        self._next_line = seconds + INTERVAL_SECONDS
        parts = [self._order, self.covered(), *([doing] if doing else [])]
        print(f"{self._title}: {', '.join(parts)}, after {seconds:.0f} s", file=sys.stderr, flush=True)  # noqa: T201


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
