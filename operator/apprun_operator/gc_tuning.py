"""Tunes how often Python's garbage collector looks for reference cycles.

By default it runs after each 700 new containers. An object of the largest size that the API server
accepts is decoded to 750,000 of them, none in a cycle, and four fifths of the time would go into
examining them again and again.
"""

from __future__ import annotations

import gc
from typing import Final

GENERATION_0_THRESHOLD: Final = 50_000
"""New containers between two collections: some 10 MB, if all of them were in cycles."""
GENERATION_1_THRESHOLD: Final = 20
GENERATION_2_THRESHOLD: Final = 100


def tune_gc() -> None:
    """Apply the thresholds to the process, and exclude what exists already, mostly modules, from
    collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GENERATION_0_THRESHOLD, GENERATION_1_THRESHOLD, GENERATION_2_THRESHOLD)
