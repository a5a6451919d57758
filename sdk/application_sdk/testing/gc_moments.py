"""Moves the garbage collector's work, which comes at no fixed place: two lives of a route see it at different ones."""

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
    gc.enable()
    gc.set_threshold(*_OFTEN)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        if not enabled:
            gc.disable()
