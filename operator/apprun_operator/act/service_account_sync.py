"""Restores service accounts and bindings in the namespaces of active runs, in case they are pruned
mid-run.

A task's pod whose report gets a 403 keeps its result and retries for as long as it may live, and it
can't report that a binding is missing. So the objects are checked periodically.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.kube.errors import ForbiddenError
from apprun_operator.observe.cache import Cache

logger = logging.getLogger(__name__)

SYNC_SECONDS: Final = 30.0
"""Seconds between two checks of a namespace. A check costs four reads from the API server's cache.
"""
CHECK_SECONDS: Final = 5.0
"""Seconds between two rounds, each of which checks the namespaces that are due."""


class ServiceAccountSync:
    """The periodic check.

    `clock` returns the time of day, as the cache's does; `failed` is called with the type of each
    error.
    """

    def __init__(
        self, cache: Cache, accounts: ServiceAccounts, clock: Callable[[], float], failed: Callable[[str], None]
    ) -> None:
        self._cache = cache
        self._accounts = accounts
        self._clock = clock
        self._failed = failed

    async def run(self) -> None:
        """Check until cancelled. Returns at once where the chart installs the accounts."""
        while not self._accounts.preinstalled:
            await self.ensure_all()
            await asyncio.sleep(CHECK_SECONDS)

    async def ensure_all(self) -> None:
        """Check every namespace that is due.

        One that can't be restored stops no other: its runs report it.
        """
        # guard: accounts-renewed - somebody may delete a binding while runs need it
        for namespace in self._cache.namespaces_ensured_before(self._clock() - SYNC_SECONDS):
            try:
                await self._accounts.ensure_missing(namespace)
            except Exception as error:  # noqa: BLE001 (one namespace must not stop the others)
                # guard: upkeep-goes-on - an error that ended this task would leave every namespace
                # without upkeep
                self._failed(type(error).__name__)
                logger.warning(
                    "service accounts of namespace %s couldn't be checked, retrying in %.0f s: %r",
                    namespace,
                    SYNC_SECONDS,
                    error,
                )
                # Only a 403 says something about the namespace. An API server that is unavailable
                # says nothing.
                self._cache.set_namespace_ready(namespace, False if isinstance(error, ForbiddenError) else None)
            else:
                self._cache.set_namespace_ready(namespace)
