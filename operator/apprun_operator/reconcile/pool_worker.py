"""Takes the keys of pools from a queue, plans each pool, and executes the actions.

A pool has one pass at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.act.pool_executor import PoolExecutor
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.pods import PoolBlocked
from apprun_operator.observe.records import Key
from apprun_operator.observe.workers import PendingAssignment
from apprun_operator.plan.actions import CreatePod, DeletePod, PodDemand
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pool.actions import PatchCall, PoolAction
from apprun_operator.plan.pool.reconcile import plan_pool
from apprun_operator.plan.pool.summary import is_due
from apprun_operator.reconcile.loop import Backoff, run_loop
from apprun_operator.reconcile.requests import Requests
from apprun_operator.reconcile.run_worker import RunWorker
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.telemetry import samples
from apprun_operator.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 30.0
SIDE_BY_SIDE: Final = 16
"""How many requests about AppTasks, inboxes and pods of pools are in flight at a time."""


class PoolWorker:
    """Plans pools and acts on them until cancelled.

    Runs and pools share the pod slots of `worker`.
    """

    def __init__(
        self,
        queue: KeyQueue,
        cache: Cache,
        executor: PoolExecutor,
        worker: RunWorker,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._executor = executor
        self._worker = worker
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._backoff = Backoff(FIRST_BACKOFF, LAST_BACKOFF, jitter)
        self._summaries: dict[Key, JSONObject] = {}
        self._owners: dict[Key, Key] = {}
        """The App that owns a pool, by the pool's key."""
        self._published_at: dict[Key, float] = {}
        self._assigning: dict[Key, dict[Key, PendingAssignment]] = {}
        """The assignments that are in flight, by pool and AppTask."""
        self._requests = Requests(cache, self._backoff, metrics, SIDE_BY_SIDE, logger)

    def start_term(self) -> None:
        """Plan every pool, since this replica has just become the leader."""
        for key in self._cache.pool_keys():
            self._queue.put(key)

    async def run(self) -> None:
        """Plan pools as their keys arrive, until cancelled."""
        await run_loop(self._queue, self._reconcile, self._backoff, self._requests.log)

    async def stop(self) -> None:
        """Cancel the requests that are in flight."""
        await self._requests.stop()
        # Those that were cancelled before they began have had no answer.
        self._assigning.clear()

    async def _reconcile(self, key: Key) -> None:
        slots = self._worker.slots
        assigning = self._assigning.get(key, {})
        observed = replace(
            self._cache.observe_pool(key), pod_quota=slots.quota(key), assigning=tuple(assigning.values())
        )
        now = self._clock()
        decisions = plan_pool(observed, now, self._limits)
        if decisions.forgotten:
            self._cache.pools.forget(key)
            self._cache.set_pool_blocked(key, None)
            slots.update(key, PodDemand())
            await self._publish(key, None, now)
            return
        self._cache.pools.memories[key] = decisions.memory
        slots.update(key, decisions.demand)
        blocked = decisions.blocked
        self._cache.set_pool_blocked(
            key,
            None if blocked is None else PoolBlocked(blocked.reason, blocked.message, blocked.since, blocked.permanent),
        )
        if decisions.wake_at is not None:
            self._queue.put_after(key, decisions.wake_at - now)
        if decisions.ensure is not None:
            await self._executor.ensure(decisions.ensure)
            # These requests took a while, so the pool is observed again before anything else is
            # done.
            self._queue.put(key)
            return
        for action in decisions.then:
            self._start(key, action)
        if decisions.owner is not None:
            self._owners[key] = decisions.owner
            await self._publish(key, decisions.summary, now)

    async def _publish(self, key: Key, summary: JSONObject | None, now: float) -> None:
        """Write the pools of an App into its status, if that is due."""
        owner = self._owners.get(key)
        app = None if owner is None else self._cache.app(owner)
        if summary is None:
            self._summaries.pop(key, None)
            self._owners.pop(key, None)
        else:
            self._summaries[key] = summary
        if owner is None or app is None or app.meta.deleting:
            return
        entries = [self._summaries[pool] for pool in sorted(self._summaries) if self._owners.get(pool) == owner]
        written = cast("list[JSONObject]", app.pools.decode())
        due = is_due(written, entries, self._published_at.get(owner, 0.0), now)
        if due is None:
            return
        if due > now:
            if summary is None:
                # The pool is gone, and no event of it comes any more. Its key is queued once more,
                # so that its entry is removed.
                self._owners[key] = owner
            self._queue.put_after(key, due - now)
            return
        self._published_at[owner] = now
        await self._executor.publish(app, list[JSON](entries))

    def _start(self, key: Key, action: PoolAction) -> None:
        async def send() -> None:
            try:
                await self._executor.execute(key, action)
            finally:
                self._answered(key, action)
            if isinstance(action, PatchCall):
                self._metrics.record(samples.of_item(action.run, self._cache.run(action.run), "task", action.patch))

        if isinstance(action, PatchCall) and action.assigning is not None:
            self._assigning.setdefault(key, {})[action.assigning.task] = action.assigning
        owner, name = _target(key, action)
        # The call may belong to a run, whose plan is woken then: the pool's is as well.
        self._requests.start(key, owner, name, send, lambda: self._queue.put(key))

    def _answered(self, key: Key, action: PoolAction) -> None:
        """Stop counting an assignment as in flight: the cache has it by now, or it has failed."""
        if isinstance(action, PatchCall) and action.assigning is not None:
            assigning = self._assigning[key]
            del assigning[action.assigning.task]
            if not assigning:
                del self._assigning[key]


def _target(pool: Key, action: PoolAction) -> tuple[Key, str]:
    """The object of the request: the run or pool under which the cache keeps it, and its name."""
    if isinstance(action, PatchCall):
        return action.run, action.patch.task.name
    if isinstance(action, CreatePod | DeletePod):
        return pool, action.pod.name
    return pool, action.worker.name
