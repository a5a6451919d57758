"""Has the work done while this replica leads, and by nobody else's leave. `main` runs it.

Informers stay warm outside of it. A term that ends takes its workers along; what they were about to write is held back
by the fence, which asks `may_write`: not whether this replica leads, but whether the term that the work is of goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from apprun_operator.leader.elector import Leader

POLL_SECONDS: Final = 0.2


class LeaderGate:
    """One piece of work per term."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader
        self._working_term = 0

    @property
    def is_leading(self) -> bool:
        """Whether work is being done."""
        return self._working_term != 0

    def may_write(self) -> bool:
        """Asked before each write, since the process may have been stopped in between."""
        return self._working_term != 0 and self._leader.term() == self._working_term

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until cancelled; or until `work` ends by itself, which only a bug makes it do: then with its error."""
        while True:
            term = self._leader.heartbeat()
            if term:
                await self._serve(term, work)
            await asyncio.sleep(POLL_SECONDS)

    async def _serve(self, term: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._working_term = term
        task = asyncio.create_task(work())
        try:
            while not task.done() and self._leader.heartbeat() == term:
                await asyncio.wait({task}, timeout=POLL_SECONDS)
        finally:
            self._working_term = 0
            ended = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if ended:
            task.result()
