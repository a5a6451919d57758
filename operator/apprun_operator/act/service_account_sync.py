"""Ensures the accounts and bindings of namespaces with runs at work from time to time: somebody may prune them mid-run.

A task's pod that the API server answers with 403 can't tell anybody, and waits with its result for as long as it may
live. So nobody can wait for a sign that something is missing.
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
"""How old the last look at a namespace with a run at work may be. One costs four reads of the API server's cache."""
CHECK_SECONDS: Final = 5.0


class ServiceAccountSync:
    """`clock` tells the time of day, as the store's does. `failed` is told the type of each error."""

    def __init__(
        self, cache: Cache, accounts: ServiceAccounts, clock: Callable[[], float], failed: Callable[[str], None]
    ) -> None:
        self._cache = cache
        self._accounts = accounts
        self._clock = clock
        self._failed = failed

    async def run(self) -> None:
        """Until cancelled. Where the chart makes the accounts there is nothing to do."""
        while not self._accounts.preinstalled:
            await self.ensure_all()
            await asyncio.sleep(CHECK_SECONDS)

    async def ensure_all(self) -> None:
        """One round. A namespace that can't be mended stops nobody: the next plan of a run there says what is wrong."""
        # guard: accounts-renewed - somebody may delete a binding while runs need it
        for namespace in self._cache.namespaces_ensured_before(self._clock() - SYNC_SECONDS):
            try:
                await self._accounts.ensure_missing(namespace)
            except Exception as error:  # noqa: BLE001 (whatever it is, the operator's other work goes on)
                # guard: upkeep-goes-on - an error that ended this task would leave every namespace without upkeep
                self._failed(type(error).__name__)
                logger.warning(
                    "service accounts of namespace %s weren't ensured, trying again in %.0f s: %r",
                    namespace,
                    SYNC_SECONDS,
                    error,
                )
                # An API server that is away has said nothing about the namespace.
                self._cache.set_namespace_ready(namespace, False if isinstance(error, ForbiddenError) else None)
            else:
                self._cache.set_namespace_ready(namespace)
