"""Events that kopf's thread hands over: applied in order, however large the objects are, without a
long turn, and with one pending version of each object at most."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from application_sdk.wire.digest import JSON
from apprun_operator.kube.decode import LONG
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.kopf_feed import KopfFeed
from apprun_operator.observe.kopf_session import RAW
from apprun_operator.observe.records import Key

KopfEvent: TypeAlias = tuple[str, str, Mapping[str, JSON]]


def a_run(name: str, version: int = 1, life: int = 0, **spec: object) -> dict[str, Any]:
    """A run; each `life` is another object of that name."""
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}-{life}",
        "resourceVersion": str(version),
        "creationTimestamp": "2027-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": {"app": {"entry": "a:B"}, **spec}}


def shown(item: Mapping[str, Any]) -> dict[str, JSON]:
    """What kopf has of an object in an event."""
    return {"metadata": item["metadata"], RAW: json.dumps(item)}


class RecordingCache(Cache):
    """A cache that notes which object each call was about."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        super().__init__(wake, lambda: 0.0)
        self.calls: list[tuple[str, str]] = []

    @override
    def apply(self, kind: Kind, raw: Mapping[str, Any]) -> None:
        self.calls.append(("apply", raw["metadata"]["uid"]))
        super().apply(kind, raw)

    @override
    def remove(self, kind: Kind, key: Key, uid: str = "") -> None:
        self.calls.append(("remove", uid))
        super().remove(kind, key, uid)


class Fed:
    """A feed that runs, and what came of it."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.relisted: list[Kind] = []
        self.cache = RecordingCache(lambda key: self.woken.append(key.name))
        self.feed = KopfFeed(asyncio.get_running_loop(), self.cache, self.relisted.append)

    def from_thread(self, *events: KopfEvent) -> None:
        thread = threading.Thread(target=lambda: [self.feed(*event) for event in events])
        thread.start()
        thread.join()

    async def until_applied(self, last: str = "last") -> int:
        """Turns of the loop until a last, small object is in the cache."""
        self.from_thread(("appruns", "ADDED", shown(a_run(last))))
        turns = 0
        while self.cache.observe(Key("default", last)) is None:
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


def test_object_that_changes_quickly_is_held_once() -> None:
    async def scenario() -> tuple[int, int, list[Key], object]:
        async with fed() as world:
            tracemalloc.start()
            try:
                # The loop can't take any of them, since this test blocks it meanwhile.
                thread = threading.Thread(target=_write_large_objects, args=(world, 10_000))
                thread.start()
                thread.join()
                held = tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()
            await world.until_applied()
            observed = world.cache.observe(Key("default", "quick"))
            return held, world.woken.count("quick"), world.cache.keys(), observed and observed.run.meta.version

    held, applied, keys, version = asyncio.run(scenario())
    assert held < 1_000_000
    assert (applied, version) == (1, 10_000)
    assert keys == [Key("default", "quick"), Key("default", "last")]


def _write_large_objects(world: Fed, count: int) -> None:
    for version in range(1, count + 1):
        world.feed("appruns", "MODIFIED", shown(a_run("quick", version, input={"text": "x" * 10_000})))


def test_object_that_changes_keeps_its_turn() -> None:
    async def scenario() -> list[str]:
        async with fed() as world:
            changes = (a_run("quick", 1), a_run("other", 2), a_run("quick", 3))
            world.from_thread(*(("appruns", "MODIFIED", shown(item)) for item in changes))
            await world.until_applied()
            return world.woken

    assert asyncio.run(scenario()) == ["quick", "other", "last"]


def test_deletion_and_the_next_object_of_the_name_are_both_seen() -> None:
    async def scenario() -> list[tuple[str, str]]:
        async with fed() as world:
            world.from_thread(
                ("appruns", "MODIFIED", shown(a_run("again", 2))),
                ("appruns", "DELETED", shown(a_run("again", 3))),
                ("appruns", "ADDED", shown(a_run("again", 4, life=1))),
                ("appruns", "MODIFIED", shown(a_run("again", 5, life=1))),
            )
            await world.until_applied()
            return world.cache.calls

    expected = [("remove", "uid-again-0"), ("apply", "uid-again-1"), ("apply", "uid-last-0")]
    assert asyncio.run(scenario()) == expected


def test_late_event_does_not_replace_a_deletion() -> None:
    async def scenario() -> list[Key]:
        async with fed() as world:
            world.from_thread(("appruns", "ADDED", shown(a_run("gone", 1))))
            await world.until_applied()
            late = ("appruns", "MODIFIED", shown(a_run("gone", 2)))
            world.from_thread(("appruns", "DELETED", shown(a_run("gone", 3))), late)
            await world.until_applied("later")
            return world.cache.keys()

    assert asyncio.run(scenario()) == [Key("default", "last"), Key("default", "later")]


def test_event_with_content_does_not_replace_a_list() -> None:
    async def scenario() -> list[Kind]:
        async with fed() as world:
            listed = {"metadata": a_run("listed")["metadata"]}
            changed = shown(a_run("listed", 2))
            world.from_thread(("appruns", "None", listed), ("appruns", "MODIFIED", changed))
            await world.until_applied()
            return world.relisted

    assert asyncio.run(scenario()) == ["appruns"]


def test_object_deleted_before_it_was_taken_stays_deleted() -> None:
    async def scenario() -> list[Key]:
        async with fed() as world:
            deleted = ("appruns", "DELETED", shown(a_run("gone", 2)))
            world.from_thread(("appruns", "ADDED", shown(a_run("gone", 1))), deleted)
            await world.until_applied()
            # A list that began before the deletion.
            world.cache.apply("appruns", a_run("gone", 1))
            return world.cache.keys()

    assert asyncio.run(scenario()) == [Key("default", "last")]


NAMES = ("one", "two", "three")
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(("change", "delete", "late", "pause"))), max_size=40)
"""What happens to which object. `late` repeats an old event of it; at `pause` the loop catches up."""


def history(steps: Sequence[tuple[str, str]]) -> list[KopfEvent | None]:
    """The events of these steps as an API server numbers them; None where the loop catches up."""
    lives = dict.fromkeys(NAMES, 0)
    alive: set[str] = set()
    first: dict[str, KopfEvent] = {}
    events: list[KopfEvent | None] = []
    for version, (name, step) in enumerate(steps, 1):
        event: KopfEvent = ("appruns", "MODIFIED", shown(a_run(name, version, lives[name], timeoutSeconds=version)))
        if step == "pause":
            events.append(None)
        elif step == "late" and name in first:
            events.append(first[name])
        elif step == "delete" and name in alive:
            events.append(("appruns", "DELETED", event[2]))
            alive.discard(name)
            lives[name] += 1
        else:
            events.append(event)
            alive.add(name)
            first.setdefault(name, event)
    return events


def whole(event: KopfEvent) -> dict[str, Any]:
    return json.loads(str(event[2][RAW]))


def contents(cache: Cache) -> list[object]:
    return [observed and observed.run for observed in (cache.observe(Key("default", name)) for name in NAMES)]


@settings(deadline=None)
@given(STEPS)
def test_cache_is_the_same_as_after_each_single_event(steps: list[tuple[str, str]]) -> None:
    events = history(steps)

    async def coalesced() -> Cache:
        async with fed() as world:
            for position, event in enumerate(events):
                if event is None:
                    await world.until_applied(f"pause-{position}")
                else:
                    world.feed(*event)
            await world.until_applied()
            return world.cache

    full = Cache(lambda key: None, lambda: 0.0)
    for event in filter(None, events):
        identity = whole(event)["metadata"]
        if event[1] == "DELETED":
            full.remove("appruns", Key("default", identity["name"]), identity["uid"])
        else:
            full.apply("appruns", whole(event))
    cache = asyncio.run(coalesced())
    assert contents(cache) == contents(full)
    # Neither takes back what was deleted, whichever response is late.
    for event in filter(None, events):
        cache.apply("appruns", whole(event))
        full.apply("appruns", whole(event))
    assert contents(cache) == contents(full)
