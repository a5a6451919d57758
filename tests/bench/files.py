"""`make bench-files`: how fast files travel, and what memory they take. The storage layer by itself, then a cluster.

Figures go into docs/benchmarks.md between their markers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from tests.support.bed import KEEP, Bed, bring_up, take_down
from tests.support.figures import write
from tests.support.kube import CORE
from tests.support.runs import Runs
from tests.support.s3 import BUCKET, S3Server, s3_server

COMMAND = "make bench-files"
MIB = 1024 * 1024
SMALL_BYTES = 10_000

MOVER = textwrap.dedent(
    """
    import asyncio, json, sys, time
    from application_sdk.contracts import FileReference
    from application_sdk.storage.files import FileStorage, Place
    from application_sdk.storage.keys import Scope
    from application_sdk.storage.remote import RemoteStore

    action, path, url, scratch, options = sys.argv[1:]
    files = FileStorage(Scope("ns", "bench", "uid", "chain"), Place("file:///nowhere", scratch),
                        store=RemoteStore.open(url, json.loads(options)))
    if action == "up":
        given = FileReference.from_local(path)
        begun = time.perf_counter()
        made = asyncio.run(files.keep(given))
        open(path + ".ref", "w").write(made.model_dump_json())
    else:
        given = FileReference.model_validate_json(open(path + ".ref").read())
        begun = time.perf_counter()
        asyncio.run(files.fetch(given))
    seconds = time.perf_counter() - begun
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(seconds, peak)
    """
)


class Moved(NamedTuple):
    """One transfer."""

    seconds: float
    peak_mib: int = 0


def move(action: str, path: Path, s3: S3Server, scratch: Path) -> Moved:
    """Store or fetch in a process of its own."""
    import json

    options = json.dumps({**s3.options(), **s3.secrets()})
    arguments = [action, str(path), f"s3://{BUCKET}/bench", str(scratch), options]
    seconds, peak = subprocess.check_output([sys.executable, "-c", MOVER, *arguments], text=True).split()
    return Moved(float(seconds), int(peak) // 1024)


def timed(*command: str | Path) -> Moved:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Moved(time.perf_counter() - begun)


def curl(*arguments: str | Path) -> Moved:
    return timed("curl", "--silent", "--fail", "--parallel", "--parallel-max", "32", *arguments)


def signed(s3: S3Server, method: Literal["PUT", "GET"], keys: list[str]) -> list[str]:
    """URLs that need no credentials."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, config={**s3.options(), **s3.secrets()}, client_options={"allow_http": True})  # type: ignore[typeddict-item]
    return list(obstore.sign(store, method, keys, timedelta(hours=1)))


def alone(size: int, small: int) -> list[str]:
    """The storage layer by itself."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, s3_server(Path(name, "s3")) as s3:
        folder = Path(name)
        rows = [*_large(folder, s3, size), *_small(folder, s3, small)]
    return ["| what | time | rate | peak memory |", "| --- | ---: | ---: | ---: |", *rows]


def _large(folder: Path, s3: S3Server, size: int) -> list[str]:
    large = folder / "large.bin"
    with large.open("wb") as out:
        for _ in range(size // MIB):
            out.write(os.urandom(MIB))
    (put_at,), (get_at,) = signed(s3, "PUT", ["curl"]), signed(s3, "GET", ["curl"])
    copied = timed("cp", "--reflink=never", large, folder / "copy")
    (folder / "copy").unlink()
    put = curl("--upload-file", large, put_at)
    got = curl("--output", folder / "got", get_at)
    (folder / "got").unlink()
    up = move("up", large, s3, folder / "scratch")
    again = move("up", large, s3, folder / "scratch")
    down = move("down", large, s3, folder / "scratch")
    shutil.rmtree(folder / "scratch")
    named = f"{size // MIB:,} MiB"

    def row(what: str, moved: Moved) -> str:
        peak = f"{moved.peak_mib} MiB" if moved.peak_mib else ""
        return f"| {named}, {what} | {moved.seconds:.1f} s | {size / MIB / moved.seconds:,.0f} MiB/s | {peak} |"

    return [
        row("`cp` on the same disk", copied),
        row("`curl`, up", put),
        row("`curl`, down", got),
        row("stored", up),
        row("stored again: nothing is sent", again),
        row("fetched and checked", down),
    ]


def _small(folder: Path, s3: S3Server, count: int) -> list[str]:
    folder_of_files = folder / "many"
    for number in range(count):
        place = folder_of_files / f"{number % 50}" / f"{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(SMALL_BYTES))
    copied = timed("cp", "--recursive", "--reflink=never", folder_of_files, folder / "copies")
    sent = folder / "config"
    places = [place for place in folder_of_files.rglob("*") if place.is_file()]
    urls = signed(s3, "PUT", [place.name for place in places])
    jobs = (f'upload-file = "{place}"\nurl = "{url}"\n' for place, url in zip(places, urls, strict=True))
    sent.write_text("next\n".join(jobs))
    put = curl("--config", sent)
    up = move("up", folder_of_files, s3, folder / "scratch")
    down = move("down", folder_of_files, s3, folder / "scratch")

    def row(what: str, moved: Moved) -> str:
        peak = f"{moved.peak_mib} MiB" if moved.peak_mib else ""
        return f"| {count:,} × 10 KB, {what} | {moved.seconds:.1f} s | {count / moved.seconds:,.0f} files/s | {peak} |"

    return [
        row("`cp`", copied),
        row("`curl`, 32 at a time, up", put),
        row("stored", up),
        row("fetched and checked", down),
    ]


def between_nodes(size: int, small: int) -> list[str]:
    """A run on a cluster."""
    bed = bring_up("bench")
    namespace = f"bench-{uuid.uuid4().hex[:6]}"
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
    runs = Runs(bed.kube, namespace)
    try:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name, s3_server(Path(name), _host(bed)) as s3:
            _prepare(runs, s3)
            _run(runs, "warm", {"size": 1000})
            rows = [
                _run(runs, "large", {"size": size}),
                _run(runs, "small", {"size": SMALL_BYTES, "small": small}),
            ]
    finally:
        bed.kube.delete(f"{CORE}/namespaces/{namespace}")
        if not KEEP:
            take_down("bench")
    return [
        "",
        "| a run of two tasks on two nodes | create to success | make, store | fetch, read | peak of the reader |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
    ]


def _prepare(runs: Runs, s3: S3Server) -> None:
    runs.upload("files")
    keys: Any = {"metadata": {"name": "store"}, "stringData": s3.secrets()}
    runs.kube.create(f"{runs.core}/secrets", keys)
    storage = {"url": f"s3://{BUCKET}/bench", "options": s3.options(), "secretRef": {"name": "store"}}
    runs.app("files", "app:Files", storage=storage)


def _run(runs: Runs, name: str, input: dict[str, int]) -> str:
    runs.start(name, "files", input)
    status = runs.until_phase(name, "Succeeded", "Failed", seconds=900)
    assert status["phase"] == "Succeeded", status
    times = {task["spec"]["task"]: _seconds(task["status"]) for task in runs.tasks(name)}
    total = _stamp(status["finishedAt"]) - _stamp(runs.get(name)["metadata"]["creationTimestamp"])
    what = f"{input['small']:,} × 10 KB" if "small" in input else f"{input['size'] // MIB:,} MiB"
    peak = status["output"]["peak_mib"]
    return f"| {what} | {total:.0f} s | {times['make']:.1f} s | {times['check']:.1f} s | {peak} MiB |"


def _seconds(status: dict[str, Any]) -> float:
    return _stamp(status["finishedAt"]) - _stamp(status["startedAt"])


def _stamp(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def _host(bed: Bed) -> str:
    """This machine's end of the cable to the nodes."""
    server: str = yaml.safe_load(bed.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return server.removeprefix("https://").rpartition(":")[0].rpartition(".")[0] + ".254"


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--small", type=int, default=2000)
    parser.add_argument("--no-cluster", action="store_true", help="the storage layer by itself only")
    parser.add_argument("--dry-run", action="store_true", help="print only; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    lines = alone(options.mib * MIB, options.small)
    if not options.no_cluster:
        lines += between_nodes(options.mib * MIB, options.small)
    sys.stdout.write("\n".join(lines) + "\n")
    if not options.dry_run:
        write(COMMAND, lines)


if __name__ == "__main__":
    main()
