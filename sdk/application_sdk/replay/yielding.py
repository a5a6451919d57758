"""Notices from outside that a route computes without ever waiting, and where: nobody else can, while its loop is busy.

A thread looks once a second whether the same turn of the loop still lasts. It reads the frames of the route's thread,
so it needs the GIL: a single call into C that keeps it for ever, as a regular expression can, is not seen.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from application_sdk.execution.source_lines import nearest_line

LIMIT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0


class YieldWatch:
    """Watches the thread that makes it. `told` gets a sentence when the work there lasts too long, and an empty one
    when it has gone on: each once, from the watch's own thread."""

    def __init__(
        self,
        told: Callable[[str], None],
        limit: float = LIMIT_SECONDS,
        look: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._told = told
        self._limit = limit
        self._look = look
        self._clock = clock
        self._watched = threading.get_ident()
        self._work = ""
        """What is at work now; empty while it waits."""
        self._turn = 0
        self._noticed: tuple[int, float] = (0, 0.0)
        """The turn that was seen last, and when first."""
        self._said = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yield-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Say nothing more. Returns when a sentence that is just being told has been."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def enter(self, work: str) -> None:
        """A turn begins. Called for each: it only leaves a mark."""
        self._turn += 1
        self._work = work

    def leave(self) -> None:
        """The turn is over: the thread waits for something now."""
        self._work = ""

    def check(self) -> None:
        """Look once."""
        turn, work, now = self._turn, self._work, self._clock()
        if not work or turn != self._noticed[0]:
            self._noticed = (turn if work else 0, now)
            if self._said:
                self._said = False
                self._told("")
        elif not self._said and now - self._noticed[1] >= self._limit:
            self._said = True
            self._told(
                f"{work} has computed for more than {self._limit:g} s without waiting for anything: it is at"
                f" {self._line()}. Until it waits nothing else of the run goes on. Move long computations into a @task"
            )

    def _run(self) -> None:
        while not self._stop.wait(self._look):
            self.check()

    def _line(self) -> str:
        return nearest_line(sys._current_frames().get(self._watched))  # noqa: SLF001 - the documented way


class NoWatch:
    """For executions of a route that nobody watches."""

    def enter(self, work: str) -> None:
        pass

    def leave(self) -> None:
        pass
