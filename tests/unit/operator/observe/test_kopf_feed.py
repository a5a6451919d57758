"""Events that kopf's thread hands over: applied in order, however large the objects are, without a
long turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

from application_sdk.wire.digest import JSON
from apprun_operator.kube.decode import LONG
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.kopf_feed import KopfFeed
from apprun_operator.observe.kopf_session import RAW
from apprun_operator.observe.records import Key


def a_run(name: str, version: int = 1, **spec: object) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": "2027-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": {"app": {"entry": "a:B"}, **spec}}


def shown(item: Mapping[str, Any]) -> dict[str, JSON]:
    """What kopf has of an object in an event."""
    return {"metadata": item["metadata"], RAW: json.dumps(item)}


class Fed:
    """A feed that runs, and what came of it."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.relisted: list[Kind] = []
        self.cache = Cache(lambda key: self.woken.append(key.name), lambda: 0.0)
        self.feed = KopfFeed(asyncio.get_running_loop(), self.cache, self.relisted.append)

    def from_thread(self, *events: tuple[str, str, Mapping[str, JSON]]) -> None:
        thread = threading.Thread(target=lambda: [self.feed(*event) for event in events])
        thread.start()
        thread.join()

    async def until_applied(self) -> int:
        """Turns of the loop until a last, small object is in the cache."""
        self.from_thread(("appruns", "ADDED", shown(a_run("last"))))
        turns = 0
        while self.cache.observe(Key("default", "last")) is None:
            await asyncio.sleep(0)
            turns += 1
        return turns


@contextlib.asynccontextmanager
async def fed() -> AsyncIterator[Fed]:
    world = Fed()
    running = asyncio.create_task(world.feed.run())
    try:
        yield world
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_large_object_is_decoded_in_several_turns_of_the_loop() -> None:
    async def scenario() -> tuple[int, int]:
        async with fed() as world:
            small = await world.until_applied()
        async with fed() as world:
            world.from_thread(("appruns", "MODIFIED", shown(a_run("large", input={"a": [{}] * LONG}))))
            return small, await world.until_applied()

    small, large = asyncio.run(scenario())
    # One for the object itself; measuring and decoding it have a turn each besides.
    assert large >= small + 3


def test_events_are_applied_in_their_order() -> None:
    async def scenario() -> list[str]:
        async with fed() as world:
            large = a_run("large", input={"a": [{}] * LONG})
            world.from_thread(("appruns", "ADDED", shown(large)), ("appruns", "ADDED", shown(a_run("small"))))
            await world.until_applied()
            return world.woken

    assert asyncio.run(scenario()) == ["large", "small", "last"]


def test_deleted_object_leaves_the_cache() -> None:
    async def scenario() -> list[Key]:
        async with fed() as world:
            item = shown(a_run("gone"))
            world.from_thread(("appruns", "ADDED", item), ("appruns", "DELETED", item))
            await world.until_applied()
            return world.cache.keys()

    assert asyncio.run(scenario()) == [Key("default", "last")]


def test_object_of_kopfs_list_asks_for_a_list_of_our_own() -> None:
    async def scenario() -> list[Kind]:
        async with fed() as world:
            world.from_thread(("apps", "None", {"metadata": a_run("listed")["metadata"]}))
            await world.until_applied()
            return world.relisted

    assert asyncio.run(scenario()) == ["apps"]


def test_bug_that_one_object_reveals_stops_no_other() -> None:
    async def scenario() -> list[Key]:
        async with fed() as world:
            world.from_thread(("unheard of", "ADDED", shown(a_run("odd"))))
            await world.until_applied()
            return world.cache.keys()

    assert asyncio.run(scenario()) == [Key("default", "last")]


def test_object_that_cannot_be_read_stops_no_other() -> None:
    async def scenario() -> list[Key]:
        async with fed() as world:
            world.from_thread(("appruns", "ADDED", {RAW: "{"}), ("appruns", "DELETED", {}))
            await world.until_applied()
            return world.cache.keys()

    assert asyncio.run(scenario()) == [Key("default", "last")]
