"""Takes a run's key from the queue, has it planned, and hands the actions over. One pass per run at a time.

What concerns the run as a whole goes first and in order: commits never wait for pods. What concerns single pods and
AppTasks runs side by side, marked in the store as in flight, so that the next plan neither repeats nor waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from application_sdk.wire import names
from apprun_operator.act.executor import Executor, ReplanError
from apprun_operator.kube.errors import ApiError, TransientError
from apprun_operator.observe.cache import Store
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import ItemAction, PatchRun, PodDemand, target
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.reconcile import plan
from apprun_operator.reconcile.loop import Pauses, work_off
from apprun_operator.reconcile.pod_quota import Shares
from apprun_operator.reconcile.round_robin import Turns
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.telemetry import samples
from apprun_operator.telemetry.logs import about
from apprun_operator.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 30.0
SIDE_BY_SIDE: Final = 16
"""Requests about pods and AppTasks at a time: enough to keep the API server busy, and room for commits."""


class Worker:
    """Plans and acts on runs for ever. `clock` tells the time of day, `chance` gives jitter."""

    def __init__(
        self,
        queue: KeyQueue,
        store: Store,
        executor: Executor,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._store = store
        self._executor = executor
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._pauses = Pauses(FIRST_BACKOFF, LAST_BACKOFF, chance)
        self._running: set[asyncio.Task[None]] = set()
        self._turns = Turns(SIDE_BY_SIDE)
        self._shares = Shares(limits, queue.put, {})

    def begin(self) -> None:
        """At the start of a term: take stock of the pods that are there."""
        self._shares = Shares(self._limits, self._queue.put, self._store.task_pods())

    async def run(self) -> None:
        """Until cancelled."""
        await work_off(self._queue, self._pass, self._pauses, self._log)

    async def stop(self) -> None:
        """Give up what is under way: the next life plans it again."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _pass(self, key: Key) -> None:
        seen = self._store.observe(key)
        if seen is None:
            self._shares.note(key, PodDemand())
            return
        now = self._clock()
        with self._metrics.planning():
            decided = plan(replace(seen, room=self._shares.room(key)), now, self._limits)
        if decided.claim is not None:
            self._shares.note(key, decided.claim)
        if decided.wake_at is not None:
            self._queue.put_after(key, decided.wake_at - now)
        for action in decided.first:
            told = samples.of_run(seen, action, now) if isinstance(action, PatchRun) else None
            await self._executor.first(action)
            if told is not None:
                self._metrics.tell(told)
        for item in decided.then:
            role = "driver" if target(item) == names.driver_task_name(key.name) else "task"
            self._start(key, item, samples.of_item(key, seen.run, role, item))

    def _start(self, key: Key, action: ItemAction, told: samples.Told) -> None:
        # guard: action-in-flight - the watch shows a write later than its answer, and the plan would ask for it again
        self._store.begin(key, target(action))
        task = asyncio.create_task(self._carry_out(key, action, told))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _carry_out(self, key: Key, action: ItemAction, told: samples.Told) -> None:
        name = target(action)
        delay = 0.0
        try:
            async with self._turns.of(key):
                await self._executor.then(key, action)
            self._metrics.tell(told)
            self._pauses.forget((key, name))
        except ReplanError:
            pass
        except Exception as error:  # noqa: BLE001 (as above: the pause is this object's alone)
            delay = self._pauses.after((key, name), error)
            self._log(key, name, error, delay)
        finally:
            # Still in flight during the pause: the plan asks for it again when that is over.
            if delay:
                asyncio.get_running_loop().call_later(delay, self._store.end, key, name)
            else:
                self._store.end(key, name)

    def _log(self, key: Key, name: str, error: Exception, delay: float) -> None:
        where, extra = f"{key.path} {name}".strip(), about(key, name)
        self._metrics.failed(type(error).__name__)
        if isinstance(error, TransientError):
            logger.warning("%s: %s; again in %.1f s", where, error, delay, extra=extra)
        elif isinstance(error, ApiError):
            logger.error("%s: %s; again in %.1f s", where, error, delay, extra=extra)
        else:
            logger.error("%s: unexpected; again in %.1f s", where, delay, exc_info=error, extra=extra)
