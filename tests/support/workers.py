"""What pytest-xdist's workers share and what each has of its own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")


def is_one() -> bool:
    """Whether this process is one of several workers."""
    return "PYTEST_XDIST_WORKER" in os.environ


def own_name(name: str) -> str:
    """A cluster's name for each worker: the first worker, like a process without others, has the name as it is."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return name if worker == "0" else f"{name}{worker}"


def once(session: Path, what: str, make: Callable[[], Made]) -> Made | None:
    """Make something for all workers that have this folder: None for all but the one that made it, once it is there.

    The others wait. When it couldn't be made, the next worker tries, and fails with reasons of its own.
    """
    with (session / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = session / f"{what}.done"
        if done.exists():
            return None
        value = make()
        done.touch()
        return value
