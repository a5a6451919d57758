"""Carries kopf's events of Apps and AppRuns from kopf's thread to the cache, on the operator's own
event loop.

An object may be as large as etcd allows. It is decoded in steps, one object at a time, so that no
turn of the loop is long: commits, probes and the heartbeat of the election wait for the same loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from application_sdk.wire.digest import JSON
from apprun_operator.kube.decode import decode_async
from apprun_operator.kube.errors import DecodeError
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.fields import Unreadable
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.kopf_session import object_text
from apprun_operator.observe.parse import meta

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    kind: Kind
    type: str
    item: Mapping[str, JSON]


class KopfFeed:
    """Called in kopf's thread with each event; `run` applies them on `loop`.

    `relist` is called with a kind of which kopf has seen an object in a list: such an object comes
    without its content.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, cache: Cache, relist: Callable[[Kind], None]) -> None:
        self._loop = loop
        self._cache = cache
        self._relist = relist
        self._events: asyncio.Queue[_Event] = asyncio.Queue()

    def __call__(self, kind: str, event: str, item: Mapping[str, JSON]) -> None:
        """Hand an event over to the loop; returns at once."""
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, _Event(cast("Kind", kind), event, item))
        except RuntimeError:
            # The loop is closed: the process is ending, and the next one lists everything.
            pass

    async def run(self) -> None:
        """Apply events in the order in which they came, until cancelled."""
        while True:
            event = await self._events.get()
            try:
                await self._apply(event)
            except (Unreadable, DecodeError) as error:
                logger.warning("%s: an object can't be read and is ignored: %s", event.kind, error)
            except Exception:
                # guard: feed-goes-on - one object that reveals a bug would end the events of all
                # others
                logger.exception("%s: unexpected error; the object is ignored", event.kind)
            # Events that have arrived already are taken without waiting, so give the loop to others.
            await asyncio.sleep(0)

    async def _apply(self, event: _Event) -> None:
        if event.type == "DELETED":
            identity = meta(event.item)
            self._cache.remove(event.kind, identity.key, identity.uid)
            return
        text = object_text(event.item)
        if text is None:
            self._relist(event.kind)
        else:
            self._cache.apply(event.kind, await decode_async(text.encode()))
