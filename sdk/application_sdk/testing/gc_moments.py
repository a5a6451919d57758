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
def older_objects_frozen() -> Iterator[None]:
    """Have no collection look through what is there already: in a large process that takes a second.

    Where the program has frozen objects itself, the rest stays frozen with them, since nothing thaws
    some alone.
    """
    thaws = gc.get_freeze_count() == 0
    gc.freeze()
    try:
        yield
    finally:
        if thaws:
            gc.unfreeze()


@contextmanager
def collecting_often() -> Iterator[None]:
    """Have cycles found within a few steps of the program."""
    enabled, threshold = gc.isenabled(), gc.get_threshold()
    gc.enable()
    gc.set_threshold(*_OFTEN)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        if not enabled:
            gc.disable()
