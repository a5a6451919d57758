"""Objects as they are and as they change: list, watch, and whenever that ends, list and watch again.

An API server that goes away for a while is waited for; what it refuses is an error. One thread, no locks.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from application_sdk.cli.cluster.api import Api, ApiRefusal, Object, explained
from application_sdk.cli.cluster.errors import NoClusterError, ObjectNotFoundError
from application_sdk.engines.kubernetes.backoff import Backoff
from application_sdk.engines.kubernetes.errors import Unreachable

PATIENCE_SECONDS: Final = 300.0
"""An API server that is away for longer is given up."""


def follow(api: Api, path: str, selector: str = "", stopped: Callable[[], bool] = bool) -> Iterator[Object]:
    """Every object that the selector chooses, then each of them whenever it changes, until `stopped()`.

    Objects that vanish carry `deleted` in their metadata. Raises ClusterError.
    """
    backoff, cache = Backoff(first=0.2), dict[str, Object]()
    away_since: float | None = None
    while not stopped():
        try:
            listed, version = api.listing(path, selector)
        except NoClusterError:
            away_since = away_since or time.monotonic()
            if not cache or time.monotonic() - away_since > PATIENCE_SECONDS:
                raise
            time.sleep(backoff.delay())
            continue
        away_since = None
        yield from _news(cache, listed)
        try:
            for event in api.watch(path, version, selector):
                backoff.reset()
                item: Object = event["object"]
                uid = item["metadata"].get("uid", "")
                if event["type"] == "BOOKMARK":
                    continue
                if event["type"] == "DELETED":
                    cache.pop(uid, None)
                    yield _deleted(item)
                else:
                    cache[uid] = item
                    yield item
                if stopped():
                    return
        except Unreachable:
            pass
        except ApiRefusal as refusal:
            if refusal.status in (401, 403, 404):
                raise explained(api.access, refusal, path) from refusal
        time.sleep(backoff.delay())


def follow_one(api: Api, path: str, name: str) -> Iterator[Object]:
    """One object whenever it changes. Raises ObjectNotFoundError when it is deleted, and ClusterError."""
    backoff = Backoff(first=0.2)
    away_since: float | None = None
    while True:
        try:
            item = api.get(f"{path}/{name}")
        except NoClusterError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > PATIENCE_SECONDS:
                raise
            time.sleep(backoff.delay())
            continue
        away_since = None
        yield item
        version = str(item["metadata"]["resourceVersion"])
        try:
            for event in api.watch(path, version, field=f"metadata.name={name}"):
                backoff.reset()
                if event["type"] == "DELETED":
                    raise ObjectNotFoundError(f"{name} was deleted meanwhile")
                if event["type"] != "BOOKMARK":
                    yield event["object"]
        except Unreachable:
            pass
        except ApiRefusal as refusal:
            if refusal.status in (401, 403):
                raise explained(api.access, refusal, path) from refusal
        time.sleep(backoff.delay())


def follow_until(api: Api, path: str, name: str, deadline: float | None) -> Iterator[Object]:
    """As `follow_one`, but raises TimeoutError at `deadline` (as `time.monotonic` tells it), if there is one.

    It is watched in a thread, so that the limit holds however silent the server is.
    """
    news: queue.Queue[Object | Exception] = queue.Queue()

    def watch() -> None:
        try:
            for item in follow_one(api.new_connection(), path, name):
                news.put(item)
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits
            news.put(error)

    threading.Thread(target=watch, daemon=True).start()
    while True:
        try:
            item = news.get(timeout=None if deadline is None else max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            raise TimeoutError(name) from None
        if isinstance(item, Exception):
            raise item
        yield item


def _news(cache: dict[str, Object], listed: list[Object]) -> Iterator[Object]:
    """What a list says that wasn't known, what vanished while nobody watched included."""
    now = {item["metadata"]["uid"]: item for item in listed}
    for uid in [uid for uid in cache if uid not in now]:
        yield _deleted(cache.pop(uid))
    for uid, item in now.items():
        before = cache.get(uid)
        if before is None or before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            cache[uid] = item
            yield item


def _deleted(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "deleted": True}}
