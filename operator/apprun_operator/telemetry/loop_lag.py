"""Measures how late the event loop is.

The operator does everything on one loop, so its lag delays everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 1.0


async def measure_lag(record: Callable[[float], None]) -> None:
    """Sleep for a second at a time, until cancelled, and record in seconds how much longer each
    sleep took."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PAUSE_SECONDS
        await asyncio.sleep(PAUSE_SECONDS)
        record(max(loop.time() - due, 0.0))
