"""Reconciles AppRuns: takes a run's key from the queue, plans the run, and executes the plan.

Actions about the run as a whole go first, one after the other: a commit never waits for a pod.
Actions about single pods and AppTasks run concurrently. Each is marked in the cache as in flight,
so that the next plan neither repeats it nor waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from application_sdk.wire import names
from apprun_operator.act.executor import Executor
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import ItemAction, PatchRun, target
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.reconcile import plan
from apprun_operator.plan.run.stray_pods import remaining_demand
from apprun_operator.reconcile.loop import Backoff, run_loop
from apprun_operator.reconcile.pod_quota import SlotLimiter
from apprun_operator.reconcile.requests import Requests
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.telemetry import samples
from apprun_operator.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 30.0
MAX_CONCURRENT_REQUESTS: Final = 16
"""Concurrent requests about pods and AppTasks: enough to keep the API server busy, with room for
commits."""


class RunWorker:
    """Plans runs and executes their plans.

    Args:
        queue: Keys of the runs to plan.
        cache: What is known of them.
        executor: Sends the requests that a plan asks for.
        limits: The operator's settings that plans depend on.
        metrics: Where plans, accepted writes and failures are counted.
        clock: Returns the time of day, in seconds since the epoch.
        jitter: Returns a random number in [0, 1), for backoffs.
    """

    def __init__(
        self,
        queue: KeyQueue,
        cache: Cache,
        executor: Executor,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._executor = executor
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._backoff = Backoff(FIRST_BACKOFF, LAST_BACKOFF, jitter)
        self._requests = Requests(cache, self._backoff, metrics, MAX_CONCURRENT_REQUESTS, logger)
        self.slots = SlotLimiter(limits, cache.wake, {})
        """The places for task pods, which runs and pools of warm pods compete for."""

    def start_term(self) -> None:
        """Count the task pods that exist, before any run of the new term is planned."""
        self.slots = SlotLimiter(self._limits, self._cache.wake, self._cache.task_pods())

    async def run(self) -> None:
        """Reconcile runs until cancelled."""
        await run_loop(self._queue, self._reconcile, self._backoff, self._requests.log)

    async def stop(self) -> None:
        """Cancel the requests that are in flight."""
        await self._requests.stop()

    async def _reconcile(self, key: Key) -> None:
        now = self._clock()
        observed = self._cache.observe(key)
        if observed is None:
            # guard: gone-run-occupies - pods outlive their run for the time of their grace, and use
            # the nodes meanwhile
            demand, released_at = remaining_demand(key.name, self._cache.pods_of(key), now)
            self.slots.update(key, demand)
            self._cache.pools.offer(key, ())
            if released_at is not None:
                self._queue.put_after(key, released_at - now)
            return
        with self._metrics.planning():
            planned = plan(replace(observed, pod_quota=self.slots.quota(key)), now, self._limits)
        if planned.demand is not None:
            self.slots.update(key, planned.demand)
        self._cache.pools.offer(key, planned.offers)
        if planned.wake_at is not None:
            self._queue.put_after(key, planned.wake_at - now)
        # In order, and each only after the API server has accepted the one before. A crash between
        # two leaves the rest undone, and the next plan asks for it again.
        for action in planned.first:
            batch = samples.of_run(observed, action, now) if isinstance(action, PatchRun) else None
            await self._executor.execute(key, action)
            if batch is not None:
                self._metrics.record(batch)
        for item in planned.then:
            role = "driver" if target(item) == names.driver_task_name(key.name) else "task"
            self._start(key, item, samples.of_item(key, observed.run, role, item))

    def _start(self, key: Key, action: ItemAction, batch: samples.SampleBatch) -> None:
        async def send() -> None:
            await self._executor.execute(key, action)
            self._metrics.record(batch)

        self._requests.start(key, key, target(action), send)
