"""How much is asked for at a time, and what becomes of objects and kinds that can't be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence

from tests.support import virtual_time
from tests.support.virtual_time import wall

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from apprun_operator.kube.client import JSON_PATCH, PatchBody
from apprun_operator.kube.decode import MAX_DEPTH, Page, decode_event
from apprun_operator.kube.errors import TooLargeError, TruncatedError, UnavailableError
from apprun_operator.kube.resources import APP_TASKS
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.informer import FAILING_AFTER, FIRST_PAGE, LAST_PAGE, PAGE_BYTES, Informer
from apprun_operator.observe.records import Key
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.reconcile import plan

MB = 1024 * 1024
NOW = virtual_time.EPOCH


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def a_task(run: str = "run", number: int = 0, padding: int = 0, heartbeat: str = "{}") -> str:
    owner = {"apiVersion": names.API_VERSION, "kind": names.APP_RUN_KIND, "name": run, "uid": f"uid-{run}"}
    key = f"{number:016x}".ljust(names.KEY_LENGTH, "0")
    metadata = {
        "name": names.task_name(run, key),
        "namespace": "default",
        "uid": f"uid-{run}-{number}",
        "resourceVersion": str(100 + number),
        "creationTimestamp": "2026-07-01T10:00:00Z",
        "ownerReferences": [owner],
    }
    spec = {"run": run, "role": "task", "key": key, "task": "work", "input": {"text": "x" * padding}}
    rest = json.dumps({"metadata": metadata, "spec": spec})[:-1]
    return f'{rest},"status":{{"phase":"Active","heartbeat":{heartbeat}}}}}'


class Server:
    """As much of an API server as an informer asks for: a list of given texts, and a watch that
    tells given lines."""

    def __init__(self, *objects: str, most: int = 16 * MB) -> None:
        self.objects = objects
        self.most = most
        self.limits: list[int] = []
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.broken: Exception | None = None
        self.lists = 0

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        if self.broken is not None:
            raise self.broken
        limit, start = int(query["limit"]), int(query.get("continue", "0"))
        self.limits.append(limit)
        chosen = self.objects[start : start + limit]
        if sum(map(len, chosen)) > self.most:
            raise TooLargeError("too long")
        end = start + len(chosen)
        self.lists += not start
        token = f',"continue":"{end}"' if end < len(self.objects) else ""
        return Page(f'{{"items":[{",".join(chosen)}],"metadata":{{"resourceVersion":"90"{token}}}}}'.encode())

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]:
        while True:
            yield [decode_event((await self.lines.get()).encode())]

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSONObject:
        raise NotImplementedError

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        raise NotImplementedError

    async def patch(self, path: str, body: PatchBody, content_type: str = JSON_PATCH) -> JSONObject:
        raise NotImplementedError

    async def delete(self, path: str, options: JSONObject) -> JSONObject:
        raise NotImplementedError


class Bench:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.cache = Cache(lambda key: None, wall)
        self.cache.apply("appruns", a_run())
        self.informer = Informer(server, self.cache, "apptasks", APP_TASKS, jitter=lambda: 0.5, clock=wall)

    async def synced(self) -> None:
        self.running = asyncio.create_task(self.informer.run())
        await asyncio.sleep(120)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    @property
    def known(self) -> int:
        return self.cache.sizes()["apptasks"]


def a_run() -> JSONObject:
    metadata: JSONObject = {
        "name": "run",
        "namespace": "default",
        "uid": "uid-run",
        "resourceVersion": "50",
        "creationTimestamp": "2026-07-01T10:00:00Z",
    }
    return {"metadata": metadata, "spec": {"app": {"entry": "a:B"}}}


def listing(server: Server) -> Bench:
    async def scenario() -> Bench:
        bench = Bench(server)
        await bench.synced()
        await bench.stop()
        return bench

    return virtual_time.run(scenario())


def test_pages_of_small_objects_grow() -> None:
    bench = listing(Server(*(a_task(number=n) for n in range(1, 1500))))
    assert bench.known == 1499
    assert bench.server.limits[0] == FIRST_PAGE
    assert max(bench.server.limits) == LAST_PAGE


def test_a_page_of_large_objects_stays_small() -> None:
    bench = listing(Server(*(a_task(number=n, padding=MB) for n in range(1, 31))))
    assert bench.known == 30
    assert max(bench.server.limits[1:]) * MB <= PAGE_BYTES


def test_a_page_that_is_too_long_falls_back_to_single_objects() -> None:
    bench = listing(Server(*(a_task(number=n, padding=1000) for n in range(1, 8)), most=2000))
    assert bench.known == 7
    assert 1 in bench.server.limits


def test_pages_grow_again_behind_what_was_too_long() -> None:
    long = [a_task(number=n, padding=4000) for n in range(1, 6)]
    short = [a_task(number=n) for n in range(6, 1500)]
    bench = listing(Server(*long, *short, most=400 * 1000))
    assert bench.known == 1499
    lowest = bench.server.limits.index(min(bench.server.limits))
    assert max(bench.server.limits[lowest:]) > 100


def test_one_long_object_in_the_middle_slows_no_whole_list() -> None:
    short = [a_task(number=n) for n in range(1, 1500)]
    server = Server(*short[:700], a_task(number=3000, padding=390 * 1000), *short[700:], most=400 * 1000)
    limits = listing(server).server.limits
    lowest = limits.index(min(limits[2:]))
    assert max(limits[lowest:]) > 100


def after_failures(error: Exception) -> list[int]:
    """How many objects are asked for at a time, once an API server that has failed so for a minute
    is well again."""

    async def scenario() -> list[int]:
        bench = Bench(Server(*(a_task(number=n) for n in range(1, 1500))))
        bench.server.broken = error
        running = asyncio.create_task(bench.informer.run())
        await asyncio.sleep(60)
        bench.server.broken = None
        await asyncio.sleep(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert bench.known == 1499
        return bench.server.limits

    return virtual_time.run(scenario())


def test_an_outage_makes_no_page_smaller() -> None:
    assert after_failures(UnavailableError("connection refused"))[0] == FIRST_PAGE


def test_pages_that_break_off_become_smaller() -> None:
    assert set(after_failures(TruncatedError("the connection ended"))) == {1}


def test_a_deep_object_of_a_list_is_told_of_on_its_run() -> None:
    bench = listing(Server(a_task(number=1), a_task(number=2, heartbeat=nested(1200)), a_task(number=3)))
    assert bench.informer.synced.is_set()
    assert bench.cache.unreadable()["apptasks"] == 1
    observed = bench.cache.observe(Key("default", "run"))
    assert observed is not None
    (problem,) = observed.unreadable.values()
    assert problem == f"status.heartbeat is nested deeper than {MAX_DEPTH} levels"
    assert len(observed.tasks) == 2
    said = plan(observed, NOW, Limits("runtime")).first[0].status["conditions"]  # type: ignore[union-attr]
    assert [one["reason"] for one in said] == ["Unreadable"] * 4  # type: ignore[union-attr,call-overload,index]


def test_a_deep_event_does_not_restart_the_watch() -> None:
    async def scenario() -> None:
        bench = Bench(Server(a_task(number=1)))
        await bench.synced()
        bench.server.lines.put_nowait(f'{{"type":"ADDED","object":{a_task(number=2, heartbeat=nested(5000))}}}')
        bench.server.lines.put_nowait(f'{{"type":"ADDED","object":{a_task(number=3)}}}')
        await asyncio.sleep(1)
        assert (bench.known, bench.server.lists) == (3, 1)
        await bench.stop()

    virtual_time.run(scenario())


def test_a_corrected_object_is_read_again() -> None:
    async def scenario() -> None:
        bench = Bench(Server(a_task(number=1, heartbeat=nested(5000))))
        await bench.synced()
        newer = a_task(number=1).replace('"101"', '"200"')
        bench.server.lines.put_nowait(f'{{"type":"MODIFIED","object":{newer}}}')
        await asyncio.sleep(1)
        assert bench.cache.unreadable()["apptasks"] == 0
        await bench.stop()

    virtual_time.run(scenario())


def test_a_kind_that_can_not_be_read_is_said_so_after_a_while() -> None:
    async def scenario() -> None:
        bench = Bench(Server(a_task(number=1)))
        bench.server.broken = UnavailableError("etcd says no")
        running = asyncio.create_task(bench.informer.run())
        await asyncio.sleep(FAILING_AFTER / 2)
        assert bench.informer.failing == ""
        await asyncio.sleep(FAILING_AFTER)
        assert "etcd says no" in bench.informer.failing
        bench.server.broken = None
        await asyncio.sleep(30)
        assert bench.informer.failing == ""
        assert bench.known == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    virtual_time.run(scenario())
