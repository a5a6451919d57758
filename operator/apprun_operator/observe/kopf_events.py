"""Runs kopf, which watches Apps and AppRuns, and passes its events on.

kopf runs in a thread with a loop of its own. When it ends it cancels every task of its loop, and an
API server that is unavailable for a minute is enough to end it. It is started again then, and
everything else continues meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import kopf

from application_sdk.wire import names
from application_sdk.wire.digest import JSON
from apprun_operator.observe.kopf_session import bounded_session

logger = logging.getLogger(__name__)

Feed = Callable[[str, str, Mapping[str, JSON]], None]
"""Called in kopf's thread with kind, event type (`DELETED`, others) and the object as kopf has it.
"""

RESTART_FIRST: Final = 1.0
RESTART_LAST: Final = 30.0
"""Seconds between two starts of kopf, at first and at most."""
END_SECONDS: Final = 15.0
"""Seconds that kopf may take to end. It cancels each of its tasks once and then waits without a
limit, and now and then a cancellation gets lost in a request whose session was closed meanwhile."""


class EndlessBackoffs:
    """Backoffs without an end: kopf gives up, and ends, when its list of backoffs is used up."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 5.0)


async def log_in_by_address(**context: Any) -> kopf.AiohttpSession | None:
    """Log kopf in as the pod's service account, by the API server's address: its host name would
    need DNS."""
    login = kopf.login_with_service_account(**context)
    if login is None or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return bounded_session(login)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return bounded_session(dataclasses.replace(login, server=f"https://{f'[{host}]' if ':' in host else host}:{port}"))


async def log_in_with_kubeconfig(**context: Any) -> kopf.AiohttpSession | None:
    """Log kopf in with the kubeconfig, for an operator outside of a cluster."""
    return bounded_session(kopf.login_with_kubeconfig(**context))


def registry(feed: Feed) -> kopf.OperatorRegistry:
    """Handlers that only pass events on: no finalizer, no annotation, no status of their own."""
    handlers = kopf.OperatorRegistry()

    def handler(kind: str) -> Callable[..., Any]:
        async def pass_on(event: Mapping[str, Any], **_: object) -> None:
            feed(kind, str(event.get("type")), event["object"])

        return pass_on

    for kind in (names.APPS, names.APP_RUNS):
        kopf.on.event(names.GROUP, names.VERSION, kind, registry=handlers, id=f"see-{kind}")(handler(kind))
    kopf.on.login(registry=handlers, id="service-account")(log_in_by_address)
    kopf.on.login(registry=handlers, id="kubeconfig")(log_in_with_kubeconfig)
    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf's settings, without the defaults that pause, forget or give up."""
    options = kopf.OperatorSettings()
    options.peering.standalone = True
    options.scanning.disabled = True
    options.posting.enabled = False
    options.watching.inactivity_timeout = 70
    options.watching.server_timeout = 300
    options.watching.client_timeout = 310
    options.watching.connect_timeout = 10
    options.watching.chunk_size = 20  # up to 30 MB, if all are of the largest size
    options.networking.request_timeout = 30
    options.networking.connect_timeout = 10
    options.networking.error_backoffs = EndlessBackoffs()
    options.queueing.worker_limit = None
    # `KopfThread` supervises this thread; kopf's own last resort would kill the whole process.
    options.process.ultimate_exiting_timeout = None
    return options


class KopfThread:
    """kopf in its thread, started again whenever it ends by itself."""

    def __init__(self, feed: Feed, namespaces: tuple[str, ...]) -> None:
        self._feed = feed
        self._namespaces = namespaces
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._end: Callable[[], None] = lambda: None
        """Ends the running kopf, from any thread."""
        self._thread = threading.Thread(target=self._supervise, name="kopf", daemon=True)

    @property
    def is_watching(self) -> bool:
        """Whether kopf is watching. While it isn't, new runs have to be found by lists."""
        return self._ready.is_set()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End kopf and its thread, and wait up to `seconds` for that."""
        self._stop.set()
        self._end()
        self._thread.join(seconds)

    def _supervise(self) -> None:
        delay = RESTART_FIRST
        while not self._stop.is_set():
            try:
                asyncio.run(self._operate())
            except BaseException as error:  # noqa: BLE001 (kopf is started again whatever ended it)
                logger.warning("kopf ended: %r; restarting it in %.0f s", error, delay)
            if self._ready.is_set():
                delay = RESTART_FIRST
            self._ready.clear()
            self._stop.wait(delay)
            delay = min(delay * 2, RESTART_LAST)

    async def _operate(self) -> None:
        # Not `self._stop`: kopf would wait for it in a thread of its own, and its loop could never
        # be closed.
        end, loop = asyncio.Event(), asyncio.get_running_loop()

        def end_from_outside() -> None:
            try:
                loop.call_soon_threadsafe(end.set)
            except RuntimeError:  # this kopf has ended already
                pass

        self._end = end_from_outside
        if self._stop.is_set():
            return
        ours = asyncio.all_tasks()
        roots = await kopf.spawn_tasks(
            registry=registry(self._feed),
            settings=settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=end,
            ready_flag=self._ready,
        )
        operator = asyncio.create_task(kopf.run_tasks(roots, ignored=ours))
        await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)  # then kopf ends
        _, hung = await asyncio.wait({operator}, timeout=END_SECONDS)
        while hung:
            logger.warning("kopf doesn't end: cancelling %d of its tasks once more", len(hung))
            for task in hung:
                task.cancel()
            _, hung = await asyncio.wait(asyncio.all_tasks() - ours, timeout=1)
        await operator
