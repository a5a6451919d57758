"""Moves the garbage collector's work, which comes at no fixed place: two executions of a route differ in it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OFTEN = (2, 2, 2)


@contextmanager
def collecting_never() -> Iterator[None]:
    """Have cycles stay in memory meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def collecting_often() -> Iterator[None]:
    """Have cycles found within a few steps of the program."""
    enabled, threshold = gc.isenabled(), gc.get_threshold()
    # What is there already isn't looked through each time: in a large process that takes a second. Objects that the
    # program itself has frozen stay frozen, and there is no way to thaw others alone.
    freezes = gc.get_freeze_count() == 0
    if freezes:
        gc.freeze()
    gc.enable()
    gc.set_threshold(*_OFTEN)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        if freezes:
            gc.unfreeze()
        if not enabled:
            gc.disable()
