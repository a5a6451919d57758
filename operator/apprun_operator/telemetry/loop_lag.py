"""How late the event loop is. All that the operator does, it does on one loop: when that is late, everything is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 1.0


async def measure_lag(record: Callable[[float], None]) -> None:
    """Until cancelled: sleep for a second, and tell by how much longer it took."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PAUSE_SECONDS
        await asyncio.sleep(PAUSE_SECONDS)
        record(max(loop.time() - due, 0.0))
