"""Sends independent requests concurrently, and delays each object whose request failed by itself.

`run_worker` and `pool_worker` send with it what their plans may do in any order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from apprun_operator.act.executor import ReplanError
from apprun_operator.kube.errors import ApiError, TransientError
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.records import Key
from apprun_operator.reconcile.loop import Backoff
from apprun_operator.reconcile.round_robin import RoundRobin
from apprun_operator.telemetry.logs import log_context
from apprun_operator.telemetry.metrics import Metrics


class Requests:
    """The requests of one worker that are in flight.

    Args:
        cache: Where each object with a request is marked as in flight.
        backoff: How long an object whose request failed waits.
        metrics: Where failures are counted.
        concurrent: How many requests are sent at a time.
        logger: Where failures are logged.
    """

    def __init__(
        self, cache: Cache, backoff: Backoff, metrics: Metrics, concurrent: int, logger: logging.Logger
    ) -> None:
        self._cache = cache
        self._backoff = backoff
        self._metrics = metrics
        self._slots = RoundRobin(concurrent)
        self._logger = logger
        self._running: set[asyncio.Task[None]] = set()

    def start(
        self,
        planned: Key,
        owner: Key,
        name: str,
        send: Callable[[], Awaitable[None]],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Send a request soon.

        Args:
            planned: Whose plan asks for it. Plans take turns.
            owner: The run or pool under which the cache keeps the object.
            name: Name of the object.
            send: Sends the request, and records what follows from its success.
            ended: Called when the object is no longer in flight.
        """
        # guard: action-in-flight - the watch shows a write later than its answer, and the plan
        # would ask for it again
        self._cache.begin_request(owner, name)
        task = asyncio.create_task(self._execute(planned, owner, name, send, ended))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """Cancel the requests that are in flight.

        Whether the API server has carried one out is unknown then. The plans of the next term start
        from what it holds, so an action that was carried out isn't asked for again.
        """
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _execute(
        self, planned: Key, owner: Key, name: str, send: Callable[[], Awaitable[None]], ended: Callable[[], None]
    ) -> None:
        delay = 0.0
        try:
            async with self._slots.slot(planned):
                await send()
            self._backoff.reset((owner, name))
        except ReplanError:
            pass
        except Exception as error:  # noqa: BLE001 (as in `run_loop`: the delay is this object's alone)
            delay = self._backoff.next_delay((owner, name), error)
            self.log(planned, name, error, delay)
        finally:
            # It stays in flight until the delay is over, so that no plan asks for it earlier.
            if delay:
                asyncio.get_running_loop().call_later(delay, self._end, owner, name, ended)
            else:
                self._end(owner, name, ended)

    def _end(self, owner: Key, name: str, ended: Callable[[], None]) -> None:
        self._cache.end_request(owner, name)
        ended()

    def log(self, key: Key, name: str, error: Exception, delay: float) -> None:
        """Count and log an error about an object of `key`, or about all of it if `name` is empty."""
        where, extra = f"{key.path} {name}".strip(), log_context(key, name)
        self._metrics.failed(type(error).__name__)
        if isinstance(error, TransientError):
            self._logger.warning("%s: %s; retrying in %.1f s", where, error, delay, extra=extra)
        elif isinstance(error, ApiError):
            self._logger.error("%s: %s; retrying in %.1f s", where, error, delay, extra=extra)
        else:
            self._logger.error("%s: unexpected error; retrying in %.1f s", where, delay, exc_info=error, extra=extra)
