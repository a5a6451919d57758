"""Runs the replica's work while it leads, and cancels it when a term of leadership ends. `main`
runs it.

Informers stay warm outside of it. Writes that cancelled work still attempts are held back by
`FencedClient`, which asks `may_write`: not whether this replica leads, but whether the very term
that the work belongs to still lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from apprun_operator.leader.elector import Leadership

POLL_SECONDS: Final = 0.2


class LeaderGate:
    """Runs one piece of work for each term of leadership."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._working_term = 0

    @property
    def is_leading(self) -> bool:
        """Whether this replica leads and its work is running."""
        return self._working_term != 0

    def may_write(self) -> bool:
        """Whether the term of the running work still lasts.

        Asked before each write: the process may have been stopped since the one before.
        """
        return self._working_term != 0 and self._leadership.term() == self._working_term

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` in each term, until cancelled.

        Raises:
            Exception: The error of `work`, if it ends by itself. Only a bug makes it do that.
        """
        while True:
            term = self._leadership.heartbeat()
            if term:
                await self._run_term(term, work)
            await asyncio.sleep(POLL_SECONDS)

    async def _run_term(self, term: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._working_term = term
        task = asyncio.create_task(work())
        try:
            while not task.done() and self._leadership.heartbeat() == term:
                await asyncio.wait({task}, timeout=POLL_SECONDS)
        finally:
            # Writes are shut off before the work is cancelled: its clean-up must not write either.
            self._working_term = 0
            ended_by_itself = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if ended_by_itself:
            task.result()
