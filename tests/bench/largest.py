"""`make bench`, third part: what a thousand objects of the largest size cost the operator, in memory and in patience.

The API server is a stand-in in a process of its own, over a real socket: lists in pages, watches, and status patches.
The operator is all that `main` puts together but kopf and the election. Bytes are those of the objects' JSON, as etcd
has them; memory is the kernel's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from tests.support.figures import write

from application_sdk.wire import names
from application_sdk.wire.fields import MAX_CONTRACTS_BYTES, MAX_HEARTBEAT_BYTES, MAX_PAYLOAD_BYTES
from apprun_operator import main as operator
from apprun_operator.gc_tuning import tune_gc
from apprun_operator.kube.client import Client
from apprun_operator.kube.credentials import Cluster
from apprun_operator.leader.elector import AlwaysLeader
from apprun_operator.leader.gate import LeaderGate
from apprun_operator.settings import from_environment
from apprun_operator.telemetry.metrics import Metrics

COMMAND = "make bench, largest objects"
PLURALS: Final = ("apps", "appruns", "apptasks", "appledgers", "appstates", "pods")
RUNS: Final = 400
TASKS: Final = 550
APPS: Final = 50
TICK: Final = 0.01

# JSON of many kinds.
Object = dict[str, Any]


def filled(size: int, dense: bool) -> Object:
    """An object whose JSON has nearly so many bytes: of empty objects, as dear as JSON can be, or of records."""
    row: Any = {} if dense else {"id": 123456, "name": "Ada Lovelace", "price": 19.99, "tags": ["new", "sale"]}
    return {"a": [row] * ((size - 16) // (len(json.dumps(row, separators=(",", ":"))) + 1))}


def metadata(name: str, number: int, kind: str = "", owner: str = "") -> Object:
    result: Object = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "resourceVersion": str(1000 + number),
        "creationTimestamp": "2026-07-01T10:00:00Z",
        "generation": 1,
    }
    if owner:
        reference = {"apiVersion": names.API_VERSION, "kind": kind, "name": owner, "uid": f"uid-{owner}"}
        result["ownerReferences"] = [reference]
    return result


def a_run(number: int, dense: bool) -> Object:
    spec = {"app": {"entry": "app:App"}, "suspend": True, "input": filled(MAX_PAYLOAD_BYTES, dense)}
    return {"metadata": metadata(f"run-{number}", number), "spec": spec}


def a_task(number: int, dense: bool) -> Object:
    run, key = f"run-{number % 20}", f"{number:016x}".ljust(names.KEY_LENGTH, "0")
    spec = {
        "run": run,
        "role": "task",
        "key": key,
        "task": "work",
        "input": filled(MAX_PAYLOAD_BYTES, dense),
    }
    status = {
        "phase": "Active",
        "heartbeat": filled(MAX_HEARTBEAT_BYTES, dense),
        "output": filled(MAX_PAYLOAD_BYTES, dense),
    }
    name = names.task_name(run, key)
    return {"metadata": metadata(name, number, names.APP_RUN_KIND, run), "spec": spec, "status": status}


def an_app(number: int, dense: bool) -> Object:
    contracts = {"code": "c", "schemas": filled(MAX_CONTRACTS_BYTES, dense)}
    name = f"app-{number}"
    return {"metadata": metadata(name, number), "spec": {"entry": "app:App"}, "status": {"contracts": contracts}}


def world(dense: bool, share: float) -> dict[str, dict[str, Object]]:
    objects: dict[str, dict[str, Object]] = {plural: {} for plural in PLURALS}
    for plural, count, make in (("appruns", RUNS, a_run), ("apptasks", TASKS, a_task), ("apps", APPS, an_app)):
        for number in range(int(count * share)):
            item = make(number, dense)
            objects[plural][item["metadata"]["name"]] = item
    return objects


class Server:
    """Lists, watches that tell nothing, and patches of a status that are done and answered."""

    def __init__(self, dense: bool, share: float) -> None:
        self.objects = world(dense, share)
        self.texts = {
            plural: {name: compact(one) for name, one in kind.items()} for plural, kind in self.objects.items()
        }
        self.version = 100_000

    async def collection(self, request: web.Request) -> web.StreamResponse:
        items = list(self.texts.get(request.match_info["plural"], {}).values())
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            while True:
                await asyncio.sleep(30)
                bookmark = {"metadata": {"resourceVersion": str(self.version)}}
                await stream.write(compact({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n")
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        details = {"resourceVersion": str(self.version)}
        if start + limit < len(items):
            details["continue"] = str(start + limit)
        listed = ",".join(items[start : start + limit])
        return web.json_response(text=f'{{"items":[{listed}],"metadata":{compact(details)}}}')

    async def patch(self, request: web.Request) -> web.StreamResponse:
        place = request.match_info
        item = self.objects.get(place["plural"], {}).get(place["name"])
        if item is None:
            return web.json_response({"kind": "Status", "reason": "NotFound", "message": "none"}, status=404)
        patch, status = await request.json(), item.setdefault("status", {})
        if isinstance(patch, list):
            status |= {one["path"].rpartition("/")[2]: one["value"] for one in patch if "/status/" in one["path"]}
        else:
            status |= patch["status"]
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        return web.json_response(item, dumps=compact)

    async def other(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.body_exists else {}
        return web.json_response({**body, "metadata": {**metadata("x", 1), **body.get("metadata", {})}})


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def serve(dense: bool, share: float, port: Connection) -> None:
    """The API server's process."""

    async def story() -> None:
        server = Server(dense, share)
        app = web.Application()
        for root in ("/apis/apprun.dev/v1alpha1", "/api/v1"):
            app.router.add_get(f"{root}/{{plural}}", server.collection)
            app.router.add_patch(f"{root}/namespaces/{{namespace}}/{{plural}}/{{name}}/status", server.patch)
        app.router.add_route("*", "/{path:.*}", server.other)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        size = sum(len(text) for kind in server.texts.values() for text in kind.values())
        port.send((runner.addresses[0][1], size))
        await asyncio.sleep(3600)

    asyncio.run(story())


@dataclass(frozen=True)
class Figures:
    """Memory in bytes, times in seconds."""

    idle: int
    peak: int
    kept: int
    ready: float
    longest_block: float
    longest_work: float
    """Processor time of the loop's thread between two turns of it: a block, less what other processes took."""
    known: int


def memory(field: str) -> int:
    """`VmRSS` or `VmHWM` of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def operate(port: int, answer: Connection) -> None:
    """The operator's process: until it knows and has planned everything."""
    tune_gc()
    answer.send(asyncio.run(_operate(port)))


async def _operate(port: int) -> Figures:
    settings = from_environment({"APPRUN_RUNTIME_IMAGE": "runtime:1"})
    metrics, gate = Metrics(), LeaderGate(AlwaysLeader())
    client = Client(Cluster(f"http://127.0.0.1:{port}", False, dict))
    parts = operator.build(settings, client, gate, metrics)
    gc.collect()
    idle, blocks, works = memory("VmRSS"), [0.0], [0.0]

    async def watch_the_loop() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, worked = loop.time() + TICK, time.thread_time()
            await asyncio.sleep(TICK)
            blocks.append(max(loop.time() - due, 0.0))
            works.append(time.thread_time() - worked)

    tasks = [
        asyncio.create_task(watch_the_loop()),
        asyncio.create_task(operator.run(settings, parts, lambda: True, gate)),
    ]
    began = time.perf_counter()
    for informer in (*parts.watching, *parts.listing):
        await informer.synced.wait()
    ready = time.perf_counter() - began
    while not _settled(parts):  # noqa: ASYNC110 (that it is over has no event)
        await asyncio.sleep(0.5)
    longest, work = max(blocks), max(works)
    gc.collect()
    sizes = parts.cache.sizes()
    objects = sizes["appruns"] + sizes["apps"] + sizes["apptasks"]
    figures = Figures(idle, memory("VmHWM"), memory("VmRSS"), ready, longest, work, objects)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
    return figures


def _settled(parts: operator.Components) -> bool:
    """Whether each run has been planned, and says that it is suspended."""
    return all(run.phase == "Suspended" for run, _, _ in parts.cache.survey())


def measured(dense: bool, share: float) -> tuple[Figures, int]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    server = context.Process(target=serve, args=(dense, share, sender), daemon=True)
    server.start()
    try:
        port, size = receiver.recv()
        process = context.Process(target=operate, args=(port, sender), daemon=True)
        process.start()
        figures: Figures = receiver.recv()
        process.join()
    finally:
        server.kill()
    return figures, size


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print only; leave docs/benchmarks.md alone")
    parser.add_argument("--share", type=float, default=1.0, help="of the objects: less for a quick look")
    options = parser.parse_args()
    lines = [
        "| 1000 objects | in etcd | operator, idle | knows all | at most | bytes kept per byte in etcd | ready after "
        "| loop's longest block, its processor time |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for dense, label in ((False, "records"), (True, "lists of `{}`")):
        figures, size = measured(dense, options.share)
        objects = sum(int(count * options.share) for count in (RUNS, TASKS, APPS))
        assert figures.known >= objects, figures
        lines.append(
            f"| {label} | {size / 2**20:.0f} MiB | {figures.idle / 2**20:.0f} MiB | {figures.kept / 2**20:.0f} MiB "
            f"| {figures.peak / 2**20:.0f} MiB | {(figures.kept - figures.idle) / size:.2f} | {figures.ready:.1f} s "
            f"| {figures.longest_block * 1000:.0f} ms, {figures.longest_work * 1000:.0f} ms |"
        )
    print("\n".join(lines))
    if not options.dry_run:
        write(COMMAND, lines)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
