"""Carries kopf's events of Apps and AppRuns from kopf's thread to the cache, on the operator's own
event loop.

An object may be as large as etcd allows. It is decoded in steps, one object at a time, so that no
turn of the loop is long: commits, probes and the heartbeat of the election wait for the same loop.
An object that changes more quickly than it is decoded replaces its own pending event, so the feed
never holds more than one version of each object.
"""

from __future__ import annotations

import asyncio
import logging
import threading
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
from apprun_operator.observe.records import Meta

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    kind: Kind
    meta: Meta
    text: str | None = None
    """The whole object; None if it was deleted, or if kopf has only listed it."""
    deleted: bool = False

    @property
    def slot(self) -> tuple[Kind, str]:
        """What the event replaces the pending one of: its object, or the list of its kind."""
        return self.kind, "" if self.text is None and not self.deleted else self.meta.uid


class PendingEvents:
    """The events that wait for the loop: the newest one of each object, in the order in which the
    objects came.

    Both threads use it. Two objects of one name differ by their uids, so the deletion of the first
    stays pending, ahead of the second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[tuple[Kind, str], _Event] = {}

    def put(self, event: _Event) -> bool:
        """Add an event, at the place of the one that it replaces. Returns whether none was pending."""
        with self._lock:
            was_empty = not self._events
            pending = self._events.get(event.slot)
            # guard: feed-keeps-newest - a late event would replace the deletion, and the cache would
            # keep the object
            if pending is None or event.deleted or event.meta.version > pending.meta.version:
                self._events[event.slot] = event
            return was_empty

    def take(self) -> _Event | None:
        """Remove the first event; None if none is pending."""
        with self._lock:
            slot = next(iter(self._events), None)
            return None if slot is None else self._events.pop(slot)


class KopfFeed:
    """Called in kopf's thread with each event; `run` applies them on `loop`.

    `relist` is called with a kind of which kopf has seen an object in a list: such an object comes
    without its content.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, cache: Cache, relist: Callable[[Kind], None]) -> None:
        self._loop = loop
        self._cache = cache
        self._relist = relist
        self._pending = PendingEvents()
        self._arrived = asyncio.Event()

    def __call__(self, kind: str, event: str, item: Mapping[str, JSON]) -> None:
        """Hand an event over to the loop; returns at once."""
        deleted = event == "DELETED"
        try:
            change = _Event(cast("Kind", kind), meta(item), None if deleted else object_text(item), deleted)
        except Unreadable as error:
            logger.warning("%s: an object can't be read and is ignored: %s", kind, error)
            return
        if not self._pending.put(change):
            # Whoever put the first one has woken the loop, which takes all before it rests.
            return
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            # The loop is closed: the process is ending, and the next one lists everything.
            pass

    async def run(self) -> None:
        """Apply events, the object that has waited longest first, until cancelled."""
        while True:
            await self._arrived.wait()
            event = self._pending.take()
            if event is None:
                self._arrived.clear()
                continue
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
        if event.deleted:
            self._cache.remove(event.kind, event.meta.key, event.meta.uid)
        elif event.text is None:
            self._relist(event.kind)
        else:
            self._cache.apply(event.kind, await decode_async(event.text.encode()))
