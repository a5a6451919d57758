"""Reconciles Apps: takes an App's key from the queue, plans the App, and executes the plan."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from apprun_operator.act.app_executor import AppExecutor
from apprun_operator.kube.errors import ApiError
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import CreatePod
from apprun_operator.plan.app.reconcile import plan_app
from apprun_operator.plan.limits import Limits
from apprun_operator.reconcile.loop import Backoff, run_loop
from apprun_operator.reconcile.workqueue import KeyQueue

logger = logging.getLogger(__name__)

REPLAN_SECONDS: Final = 1.0
FIRST_BACKOFF: Final = 1.0
LAST_BACKOFF: Final = 60.0


class AppWorker:
    """Plans Apps and executes their plans.

    `clock` returns the time of day in seconds since the epoch, `jitter` a random number in [0, 1).
    """

    def __init__(
        self,
        queue: KeyQueue,
        cache: Cache,
        executor: AppExecutor,
        limits: Limits,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._executor = executor
        self._limits = limits
        self._clock = clock
        self._backoff = Backoff(FIRST_BACKOFF, LAST_BACKOFF, jitter)

    def start_term(self) -> None:
        """Queue every App: an earlier term may have left its plan half done."""
        for key in self._cache.app_keys():
            self._queue.put(key)

    async def run(self) -> None:
        """Reconcile Apps until cancelled."""
        await run_loop(self._queue, self._reconcile, self._backoff, _log, REPLAN_SECONDS)

    async def _reconcile(self, key: Key) -> None:
        app = self._cache.app(key)
        if app is None:
            return
        now = self._clock()
        planned = plan_app(app, self._cache.deployment(key), now, self._limits, self._cache.inspecting(key))
        if planned.wake_at is not None:
            self._queue.put_after(key, planned.wake_at - now)
        for action in planned.actions:
            await self._executor.execute(key, action)
            if isinstance(action, CreatePod):
                # No event follows when the API server rejects a pod: only another plan sees the
                # rejection.
                self._queue.put(key)


def _log(key: Key, name: str, error: Exception, delay: float) -> None:
    if isinstance(error, ApiError):
        logger.warning("App %s: %s; retrying in %.1f s", key.path, error, delay)
    else:
        logger.error("App %s: unexpected error; retrying in %.1f s", key.path, delay, exc_info=error)
