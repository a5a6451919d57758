"""The limits of a run on this machine, and the requests to a run while it is executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How many attempts run at a time, and how long attempts may take to stop. Times in seconds."""

    parallelism: int = 8
    stop_seconds: float = 5.0
    """On a stop of the engine, which is no end of the run, and at the run's end."""
    cancel_seconds: float = 30.0
    """On a cancellation of the run."""
    overdue_seconds: float = 5.0
    """After its own time limit, before it is killed."""


@dataclass(slots=True)
class Requests:
    """Requests to a run while it is executed, from a signal handler, another thread or another
    process."""

    cancelled: Callable[[], bool] = lambda: False
    stopped: bool = False
    wake: Callable[[], None] | None = None
    """Makes the engine look here soon. Set while a run is executed."""

    def stop(self) -> None:
        """Have the engine stop: `receive` raises RunInterruptedError. May be called from a signal
        handler."""
        self.stopped = True
        if self.wake is not None:
            self.wake()
