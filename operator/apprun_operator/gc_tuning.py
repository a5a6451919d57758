"""How often Python looks for reference cycles.

By default it looks after each 700 new containers. An object of the largest size that the API server takes is decoded to
750,000 of them, none in a cycle, and four fifths of the time would go into looking at them again and again.
"""

from __future__ import annotations

import gc
from typing import Final

NEW_CONTAINERS: Final = 50_000
"""As many may be left in cycles between two looks: some 10 MB, if all were."""
YOUNG_LOOKS: Final = 20
MIDDLE_LOOKS: Final = 100


def tune_gc() -> None:
    """For the whole process. What is there already, modules above all, is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_CONTAINERS, YOUNG_LOOKS, MIDDLE_LOOKS)
