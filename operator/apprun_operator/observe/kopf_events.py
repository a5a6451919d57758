"""kopf's part: App and AppRun events, handed on to the store. With `main`, the only modules that import kopf.

It runs in a thread with a loop of its own: when kopf ends, it cancels every task of its loop, and it ends for no more
than an API server that was away for a minute. Then it is started again, and everything else goes on meanwhile.
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
from apprun_operator.observe.kopf_session import bounded

logger = logging.getLogger(__name__)

Feed = Callable[[str, str, Mapping[str, JSON]], None]
"""Called in kopf's thread with kind, event type (`DELETED`, others) and what kopf was shown of the object."""

RESTART_FIRST: Final = 1.0
RESTART_LAST: Final = 30.0
END_SECONDS: Final = 15.0
"""How long a kopf that ends may take for it. It cancels each of its tasks once and waits for ever; and now and then a
cancellation gets lost in a request whose session was closed meanwhile."""


class EndlessBackoffs:
    """kopf gives up, and ends, when its list of backoffs does. So this one doesn't."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 5.0)


async def log_in_by_address(**given: Any) -> kopf.AiohttpSession | None:
    """kopf's login of a pod, but at the API server's address: by name, as kopf has it, it would need a DNS."""
    found = kopf.login_with_service_account(**given)
    if found is None or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return bounded(found)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return bounded(dataclasses.replace(found, server=f"https://{f'[{host}]' if ':' in host else host}:{port}"))


async def log_in_with_kubeconfig(**given: Any) -> kopf.AiohttpSession | None:
    """As the user of the machine, for an operator outside of a cluster."""
    return bounded(kopf.login_with_kubeconfig(**given))


def registry(feed: Feed) -> kopf.OperatorRegistry:
    """Handlers that only pass on what they see: no finalizer, no annotation, no status of their own."""
    made = kopf.OperatorRegistry()

    def handler(kind: str) -> Callable[..., Any]:
        async def seen(event: Mapping[str, Any], **_: object) -> None:
            feed(kind, str(event.get("type")), event["object"])

        return seen

    for kind in (names.APPS, names.APP_RUNS):
        kopf.on.event(names.GROUP, names.VERSION, kind, registry=made, id=f"see-{kind}")(handler(kind))
    kopf.on.login(registry=made, id="service-account")(log_in_by_address)
    kopf.on.login(registry=made, id="kubeconfig")(log_in_with_kubeconfig)
    return made


def settings() -> kopf.OperatorSettings:
    """kopf's settings, away from defaults that pause, forget or give up."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.scanning.disabled = True
    made.posting.enabled = False
    made.watching.inactivity_timeout = 70
    made.watching.server_timeout = 300
    made.watching.client_timeout = 310
    made.watching.connect_timeout = 10
    made.watching.chunk_size = 20  # of the largest objects that there may be, 30 MB
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.networking.error_backoffs = EndlessBackoffs()
    made.queueing.worker_limit = None
    # This thread is watched over by `KopfThread`; kopf's own last resort would kill the whole process.
    made.process.ultimate_exiting_timeout = None
    return made


class KopfThread:
    """kopf in its thread, started again whenever it ends by itself."""

    def __init__(self, feed: Feed, namespaces: tuple[str, ...]) -> None:
        self._feed = feed
        self._namespaces = namespaces
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._end: Callable[[], None] = lambda: None
        """Ends the present life of kopf, from any thread."""
        self._thread = threading.Thread(target=self._supervise, name="kopf", daemon=True)

    @property
    def works(self) -> bool:
        """Whether kopf is up: if not, somebody else should look for new runs now and then."""
        return self._ready.is_set()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Ask it to end, and wait that long for it."""
        self._stop.set()
        self._end()
        self._thread.join(seconds)

    def _supervise(self) -> None:
        delay = RESTART_FIRST
        while not self._stop.is_set():
            try:
                asyncio.run(self._operate())
            except BaseException as error:  # noqa: BLE001 (a thread: nothing outside is to be unwound)
                logger.warning("kopf ended: %r; starting it again in %.0f s", error, delay)
            if self._ready.is_set():
                delay = RESTART_FIRST
            self._ready.clear()
            self._stop.wait(delay)
            delay = min(delay * 2, RESTART_LAST)

    async def _operate(self) -> None:
        # Not `self._stop`: kopf would wait for it in a thread, which holds up the end of its loop for ever.
        end, loop = asyncio.Event(), asyncio.get_running_loop()

        def end_from_outside() -> None:
            try:
                loop.call_soon_threadsafe(end.set)
            except RuntimeError:  # this life is over already
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
        life = asyncio.create_task(kopf.run_tasks(roots, ignored=ours))
        await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)  # then kopf ends
        _, hung = await asyncio.wait({life}, timeout=END_SECONDS)
        while hung:
            logger.warning("kopf doesn't end: cancelling %d tasks of it once more", len(hung))
            for task in hung:
                task.cancel()
            _, hung = await asyncio.wait(asyncio.all_tasks() - ours, timeout=1)
        await life
