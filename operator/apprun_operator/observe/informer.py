"""Lists a kind and then watches it, without end: raw objects go to the cache, whatever the API
server does.

`Progress` is the state machine, without I/O: which version to continue from, when to list again,
how long to back off. `Informer` sends its requests. A list is compared with what was known, so that
deletions which no watch saw are noticed too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube.client import KubeApi
from apprun_operator.kube.decode import Page
from apprun_operator.kube.errors import (
    ApiError,
    GoneError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
    from_response,
)
from apprun_operator.kube.resources import Resource
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.fields import Unreadable
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.parse import meta
from apprun_operator.observe.records import Key

logger = logging.getLogger(__name__)

FIRST_PAGE: Final = 10
LAST_PAGE: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page grows until it has so many objects or bytes: 500 of the largest objects would be 700 MB at
once."""
GROWTH: Final = 5
RECOVERY: Final = 2
"""After a page has failed, the bound of the page size doubles with each page that is read."""
FAILING_AFTER: Final = 120.0
"""Seconds without success after a failure until a kind counts as unreadable. A healthy watch is
silent for less."""
SERVER_TIMEOUT: Final = 300
FIRST_BACKOFF: Final = 0.2
LAST_BACKOFF: Final = 10.0
SHORT_WATCH: Final = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The informer's position. `version` is empty if it has to list."""

    version: str = ""
    failures: int = 0

    def listed(self, version: str) -> Progress:
        """A list doesn't end the backoff: if its version has expired at once, lists must not follow
        without delay."""
        return replace(self, version=version)

    def moved(self, version: str) -> Progress:
        """After an event or bookmark: a new watch continues from here."""
        return Progress(version or self.version)

    def failed(self, error: Exception) -> Progress:
        """After an error: list again if the version is too old, otherwise watch from it."""
        expired = isinstance(error, GoneError)
        # guard: expired-version - a watch that continues from an expired version is refused each
        # time
        return Progress("" if expired else self.version, self.failures + 1)

    def backoff(self, jitter: float) -> float:
        """Seconds to wait before the next try, at random up to a bound that doubles; `chance` is in
        [0, 1)."""
        if not self.failures:
            return 0.0
        bound: float = min(FIRST_BACKOFF * 2.0 ** min(self.failures - 1, 16), LAST_BACKOFF)
        return bound * (0.5 + jitter / 2)


class Informer:
    """Keeps one kind up to date in the cache, in all namespaces or one."""

    def __init__(
        self,
        api: KubeApi,
        cache: Cache,
        kind: Kind,
        resource: Resource,
        *,
        namespace: str = "",
        selector: str = "",
        jitter: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`clock` measures silence: it must be monotonic.

        `jitter` returns a random number in [0, 1).
        """
        self.kind = kind
        self.synced = asyncio.Event()
        self._last_contact = clock()
        """When it last was in contact with the API server, or tried to be. It only grows."""
        self._resting_until = 0.0
        """When the present pause of `relist` ends: no contact is expected before that."""
        self._api = api
        self._cache = cache
        self._path = resource.path(namespace)
        self._namespace = namespace
        self._query: Mapping[str, str] = {"labelSelector": selector} if selector else {}
        self._jitter = jitter
        self._clock = clock
        self._progress = Progress()
        self._relist_now = asyncio.Event()
        self._page = FIRST_PAGE
        self._largest_page = LAST_PAGE
        """Upper bound of the page size; smaller after a page has failed, so that the next try
        doesn't fail alike."""
        self._truncated = False
        """A page was cut off since the last complete list. The list starts over after that, and
        would never be complete if its pages grew to the same length again."""
        self._failing_since: float | None = None
        self._failure = ""

    @property
    def failing(self) -> str:
        """Why the kind can't be read; empty unless that has lasted for a while."""
        since = self._failing_since
        return self._failure if since is not None and self._clock() - since >= FAILING_AFTER else ""

    @property
    def silence(self) -> float:
        """Seconds without contact with the API server, or an attempt, beyond planned pauses."""
        # guard: rest-is-no-silence - a planned pause of the watch isn't a sign of a broken one
        return max(self._clock() - max(self._last_contact, self._resting_until), 0.0)

    def _note_contact(self) -> None:
        # `resync` may run during a pause of `relist`: neither may set the time back that the other
        # has noted.
        self._last_contact = max(self._last_contact, self._clock())

    async def run(self) -> None:
        """List and watch until cancelled. No response of the API server ends it."""
        await self._retry_forever(self._follow)

    async def relist(self, interval: Callable[[], float]) -> None:
        """List every `interval()` seconds, until cancelled.

        For kinds whose events come from kopf: it finds what those missed.
        """

        async def once() -> None:
            self._relist_now.clear()
            await self._list()
            self._progress = Progress()
            rest = interval()
            self._resting_until = self._clock() + rest
            try:
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with
                # the event.
                async with asyncio.timeout(rest):
                    await self._relist_now.wait()
            except TimeoutError:
                pass
            self._resting_until = 0.0

        await self._retry_forever(once)

    def trigger_relist(self) -> None:
        """End the pause of `relist`: there is something to list."""
        self._relist_now.set()

    async def resync(self) -> None:
        """List once more, beside `run`, and return when it has succeeded.

        After that the cache has everything that the API server held at the call, however late the
        watch is.
        """
        attempts = Progress()
        while True:
            try:
                await self._list()
            except ApiError as error:
                attempts = attempts.failed(error)
                logger.warning("%s: %s; listing again", self.kind, error)
                await asyncio.sleep(attempts.backoff(self._jitter()))
            else:
                return

    async def _follow(self) -> None:
        if not self._progress.version:
            await self._list()
        started = self._clock()
        await self._watch()
        if self._clock() - started < SHORT_WATCH:
            raise UnavailableError("the watch ended at once")

    async def _retry_forever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except ApiError as error:
                self._record_failure(error)
                self._progress = self._progress.failed(error)
                if self._progress.failures > 1 or not self.synced.is_set():
                    logger.warning("%s: %s; trying again", self.kind, error)
            except (
                Exception
            ) as error:  # no unexpected response may end the informer: the operator would see nothing more
                self._record_failure(error)
                logger.exception("%s: unexpected response; listing again", self.kind)
                self._progress = replace(self._progress.failed(GoneError("")), version="")
            # An attempt counts as contact: an API server that is unavailable is no reason to
            # restart the operator.
            self._note_contact()
            await asyncio.sleep(self._progress.backoff(self._jitter()))

    def _record_failure(self, error: Exception) -> None:
        self._failure = f"{type(error).__name__}: {error}"[:500]
        if self._failing_since is None:
            self._failing_since = self._clock()

    def _record_success(self) -> None:
        self._note_contact()
        self._failing_since, self._failure = None, ""

    async def _list(self) -> None:
        keys: list[Key] = []
        token = ""
        while True:
            page = await self._next_page(token)
            self._note_contact()
            longest = 0
            async for size, item in page:
                longest = max(longest, size)
                if self._apply(item):
                    keys.append(_key(item))
                # Give the loop to others after each object. Decoding has its own turns.
                await asyncio.sleep(0)
            self._page = _next_page_size(self._page, longest, self._largest_page)
            # guard: broken-pages-stay-short - a list that starts over with pages as long would
            # never be complete
            if not self._truncated:
                # The objects that made a page too long have been read: let the next pages grow
                # again.
                self._largest_page = min(self._largest_page * RECOVERY, LAST_PAGE)
            token = str(page.details.get("continue") or "")
            if not token:
                break
        version = str(page.details["resourceVersion"])
        # guard: list-removes - an object that was deleted between two watches has no DELETED event
        self._cache.replace(self.kind, keys, int(version), self._namespace)
        self._progress = self._progress.listed(version)
        self._largest_page, self._truncated = LAST_PAGE, False
        self._record_success()
        self.synced.set()

    async def _next_page(self, token: str) -> Page:
        """Request the next page. If it is too long or cut off, request a smaller one, down to a
        single object.

        An API server that is unavailable says nothing about length: after that error the page keeps
        its size, or a list of thousands of objects would come one by one.
        """
        while True:
            query = {**self._query, "limit": str(self._page), **({"continue": token} if token else {})}
            try:
                return await self._api.page(self._path, query)
            except (TooLargeError, TruncatedError) as error:
                if self._page == 1:
                    raise
                self._page = self._largest_page = max(self._page // GROWTH, 1)
                # guard: page-too-large - only an answer that is too large gets better with a
                # smaller page
                if not isinstance(error, TooLargeError):
                    self._truncated = True
                    raise

    async def _watch(self) -> None:
        query = {
            **self._query,
            "resourceVersion": self._progress.version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(SERVER_TIMEOUT),
        }
        async for events in self._api.watch(self._path, query):
            self._note_contact()
            for event in events:
                self._handle_event(str(event.get("type")), cast("JSONObject", event["object"]))
            self._record_success()
            # Events that have arrived already are read without waiting, so give the loop to others.
            await asyncio.sleep(0)

    def _handle_event(self, kind: str, item: JSONObject) -> None:
        if kind == "ERROR":
            raise from_response(int(cast("int", item.get("code", 500))), b"watch error: " + str(item).encode())
        if kind == "DELETED":
            data = cast("JSONObject", item["metadata"])
            self._cache.remove(self.kind, _key(item), str(data.get("uid", "")))
        elif kind != "BOOKMARK":
            self._apply(item)
        self._progress = self._progress.moved(str(cast("JSONObject", item["metadata"]).get("resourceVersion", "")))

    def _apply(self, item: Mapping[str, JSON]) -> bool:
        """Put an object into the cache. Returns False for one without a readable name.

        Whatever is wrong with one object, the informer continues with the others.
        """
        try:
            self._cache.apply(self.kind, item)
        except Unreadable as error:
            name = _name(item)
            logger.warning("%s %s can't be read and is ignored: %s", self.kind, name or "without a name", error)
            return bool(name)
        return True


def _next_page_size(page: int, longest: int, most: int) -> int:
    """How many objects to request next, if the longest of a page had so many bytes.

    The page grows slowly, since the next objects may be longer.
    """
    # guard: page-bytes - a page of large objects takes all memory, whatever its count
    return max(min(page * GROWTH, most, PAGE_BYTES // max(longest, 1)), 1)


def silence_by_kind(informers: Sequence[Informer]) -> Mapping[str, float]:
    """The longest silence about each kind, in seconds."""
    silence: dict[str, float] = {}
    for informer in informers:
        silence[informer.kind] = max(informer.silence, silence.get(informer.kind, 0.0))
    return silence


def _key(item: Mapping[str, JSON]) -> Key:
    data = cast("JSONObject", item["metadata"])
    return Key(str(data.get("namespace", "")), str(data["name"]))


def _name(item: Mapping[str, JSON]) -> str:
    try:
        return meta(item).key.path
    except Unreadable:
        return ""
