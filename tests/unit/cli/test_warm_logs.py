"""`apprun logs` of calls in warm pods, which runs share: the lines of the run's own calls, and no others."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.cluster_wire import NAMESPACED, PODS, FakeCluster
from tests.support.wire_server import Handler, Request, refuse
from tests.unit.cli.conftest import Command

POOL = "hello-w-1a2b3c4d"
FORBIDDEN = refuse(403, "Forbidden", 'pods "x" is forbidden: User "ada" cannot get resource "pods/log"')


def a_warm_pod(cluster: FakeCluster, slot: int, *lines: str, state: str = "running") -> None:
    name = f"{POOL}-{slot}"
    cluster.logs[name] = "".join(lines)
    own = {"name": "worker", "state": {state: {"startedAt": "2026-07-01T09:00:00Z"}}}
    labels = {"apprun.dev/pool": POOL, "apprun.dev/role": "worker"}
    cluster.put(
        f"{PODS}/{name}",
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "node1"},
            "status": {"phase": "Running", "containerStatuses": [own, {"name": "a-proxy"}]},
        },
    )


def a_call(cluster: FakeCluster, run: str, key: str, slot: int, task: str = "read", **status: Any) -> str:
    """An assigned call. Returns the name of its AppTask."""
    pod = {"name": f"{POOL}-{slot}", "uid": f"uid-{POOL}-{slot}"}
    fields = {"phase": "Active", "attempt": 1, "pod": pod, **status}
    return str(cluster.task(run, key, task, **fields)["metadata"]["name"])


def a_line(second: int, message: str, **context: Any) -> str:
    """A line as a warm pod writes it, and kubelet hands it out."""
    at = f"2026-07-01T10:00:{second:02}.000000Z"
    entry = {"time": at, "level": "INFO", "logger": "stdout", "source": "stdout", "message": message}
    return f"{at} {json.dumps({**entry, 'namespace': 'team', **context})}\n"


def of(app_task: str, attempt: int = 1) -> dict[str, Any]:
    run = app_task.rpartition("-")[0]
    return {"run": run, "role": "task", "task": "read", "appTask": app_task, "attempt": attempt}


def two_runs(cluster: FakeCluster) -> tuple[str, str]:
    """Two runs with a call each in the same pod."""
    for run in ("mine", "other"):
        cluster.run(run, phase="Running")
    return a_call(cluster, "mine", "a", 0), a_call(cluster, "other", "b", 0)


def ended(cluster: FakeCluster, run: str) -> None:
    cluster.run(run, phase="Succeeded")


@contextmanager
def meanwhile(operate: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=operate)
    thread.start()
    yield
    thread.join()


def wait_for(cluster: FakeCluster, target: str, count: int = 1) -> None:
    """Until so many requests have arrived, or 5 seconds have passed: the run ends then all the same."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if sum(request.target.startswith(target) for request in cluster.wire.requests) >= count:
            return
        time.sleep(0.01)


def test_only_the_runs_own_lines_of_a_shared_pod_are_shown(apprun: Command, cluster: FakeCluster) -> None:
    mine, other = two_runs(cluster)
    worker = a_line(1, "the pod waits for calls", role="worker")
    a_warm_pod(cluster, 0, worker, a_line(2, "hello", **of(mine)), a_line(3, "secret", **of(other)))
    assert apprun("logs", "mine").out == "read/a0000000/1  hello\n"
    assert apprun("logs", "other").out == "read/b0000000/1  secret\n"


def test_lines_in_order_of_time_across_pods(apprun: Command, cluster: FakeCluster) -> None:
    mine, _ = two_runs(cluster)
    driver = cluster.task("mine", "driver", "driver", {"role": "driver", "key": "driver"})
    cluster.pod(driver, 1, "Running", "2026-07-01T10:00:03Z route\n")
    second = a_call(cluster, "mine", "c", 1, phase="Succeeded")
    a_warm_pod(cluster, 0, a_line(2, "one", **of(mine)), a_line(5, "four", **of(mine)))
    a_warm_pod(cluster, 1, a_line(4, "three", **of(second)))
    texts = [line.partition("  ")[2] for line in apprun("logs", "mine").out.splitlines()]
    assert texts == ["one", "route", "three", "four"]


def test_task_and_attempt_select_lines_of_a_warm_pod(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("mine", phase="Running")
    read = a_call(cluster, "mine", "a", 0, attempt=2)
    write = a_call(cluster, "mine", "b", 0, task="write")
    a_warm_pod(
        cluster, 0, a_line(1, "x", **of(read)), a_line(2, "y", **of(read, 2)), a_line(3, "z", **of(write))
    )  # fmt: skip
    assert apprun("logs", "mine", "write").out == "write/b0000000/1  z\n"
    assert apprun("logs", "mine", "read", "--attempt", "2").out == "read/a0000000/2  y\n"
    assert apprun("logs", "mine", "a00000").out == "read/a0000000/1  x\nread/a0000000/2  y\n"
    assert apprun("logs", "mine", "driver").out == ""


def test_lines_of_a_deleted_run_of_the_name_are_left_out(apprun: Command, cluster: FakeCluster) -> None:
    mine, _ = two_runs(cluster)
    before = a_line(2, "before", **of(mine)).replace("T10:", "T09:")
    a_warm_pod(cluster, 0, before, a_line(2, "now", **of(mine)))
    assert apprun("logs", "mine").out == "read/a0000000/1  now\n"


def test_kept_end_of_a_log_is_not_repeated(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("mine", phase="Running")
    history = [{"attempt": 1, "reason": "ValueError", "budget": "App", "finishedAt": "2026-07-01T10:00:02Z"}]
    log = {"attempt": 1, "tail": "kept\n"}
    read = a_call(cluster, "mine", "a", 0, attempt=2, log=log, attempts=history)
    a_call(cluster, "mine", "b", 0, attempt=2, log=log, attempts=history)
    a_warm_pod(cluster, 0, a_line(1, "whole", **of(read)))
    assert apprun("logs", "mine").out == "read/a0000000/1  whole\nread/b0000000/1  kept\n"


def test_lines_that_name_no_call_are_said_to_exist(apprun: Command, cluster: FakeCluster) -> None:
    two_runs(cluster)
    a_warm_pod(cluster, 0, "2026-07-01T10:00:02Z 2026-07-01 10:00:02,000 INFO orders: as text\n")
    done = apprun("logs", "mine")
    assert "as text" not in done.out
    assert f"`kubectl logs {POOL}-0` has them" in " ".join(done.err.split())


def test_refused_log_of_a_warm_pod_reads_as_that_of_any(apprun: Command, cluster: FakeCluster) -> None:
    two_runs(cluster)
    a_warm_pod(cluster, 0)
    cluster.run("cold", phase="Running")
    cluster.pod(cluster.task("cold", "a", "split"), 1, "Running", "")
    for name in cluster.logs:
        cluster.refusals["GET", f"{PODS}/{name}/log"] = FORBIDDEN
    warm, cold = apprun("logs", "mine"), apprun("logs", "cold")
    assert (warm.code, warm.err) == (cold.code, cold.err)
    assert warm.code != 0


def test_later_pod_of_the_name_is_not_read(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("mine", phase="Running")
    mine = a_call(cluster, "mine", "a", 0, pod={"name": f"{POOL}-0", "uid": "former"})
    a_warm_pod(cluster, 0, a_line(2, "hello", **of(mine)))
    assert apprun("logs", "mine").out == ""
    assert not any(request.target.startswith(f"{PODS}/{POOL}-0/log") for request in cluster.wire.requests)


def test_followed_pods_include_those_assigned_meanwhile(apprun: Command, cluster: FakeCluster) -> None:
    mine, other = two_runs(cluster)
    a_warm_pod(cluster, 0, a_line(2, "first", **of(mine)), a_line(3, "secret", **of(other)))

    def operate() -> None:
        wait_for(cluster, f"{PODS}/{POOL}-0/log")
        a_warm_pod(cluster, 1, state="waiting")
        later = a_call(cluster, "mine", "c", 1)
        a_call(cluster, "mine", "d", 1)
        wait_for(cluster, f"{PODS}/{POOL}-1")
        a_warm_pod(cluster, 1, a_line(4, "second", **of(later)))
        wait_for(cluster, f"{PODS}/{POOL}-1/log")
        ended(cluster, "mine")

    with meanwhile(operate):
        out = apprun("logs", "-f", "mine").out
    assert out == "read/a0000000/1  first\nread/c0000000/1  second\n"
    reads = [request.target for request in cluster.wire.requests if f"{POOL}-1/log" in request.target]
    assert len(reads) == 1


def test_followed_stream_that_breaks_is_taken_up(apprun: Command, cluster: FakeCluster) -> None:
    mine, other = two_runs(cluster)
    lines = [a_line(2, "first", **of(mine)), a_line(3, "secret", **of(other)), a_line(4, "second", **of(mine))]
    a_warm_pod(cluster, 0, *lines)
    path = f"{PODS}/{POOL}-0/log"

    def breaks(handler: Handler, request: Request) -> None:
        del cluster.refusals["GET", path]
        handler.begin_chunks()
        handler.chunk("".join(lines[:2]).encode())
        handler.wfile.write(b"ff\r\n{")
        handler.close_connection = True

    cluster.refusals["GET", path] = breaks

    def operate() -> None:
        wait_for(cluster, path, 2)
        ended(cluster, "mine")

    with meanwhile(operate):
        out = apprun("logs", "-f", "mine").out
    assert out == "read/a0000000/1  first\nread/a0000000/1  second\n"
    again = [request.target for request in cluster.wire.requests if request.target.startswith(path)][1]
    # From the last line that was read, though it is of another run.
    assert "10%3A00%3A03" in again


def test_followed_line_may_precede_the_news_of_its_call(apprun: Command, cluster: FakeCluster) -> None:
    _, other = two_runs(cluster)
    # Neither list nor watch tells of it, as before the event has arrived.
    early = a_call(cluster, "mine", "c", 0)
    del cluster.objects[f"{NAMESPACED}/apptasks/{early}"]["metadata"]["labels"]
    a_warm_pod(cluster, 0, a_line(2, "early", **of(early)), a_line(3, "secret", **of(other)))

    def operate() -> None:
        wait_for(cluster, f"{PODS}/{POOL}-0/log")
        ended(cluster, "mine")

    with meanwhile(operate):
        assert apprun("logs", "-f", "mine").out == "read/c0000000/1  early\n"


@pytest.mark.parametrize("query", [("read",), ("--attempt", "2")])
def test_followed_lines_are_selected(apprun: Command, cluster: FakeCluster, query: tuple[str, ...]) -> None:
    cluster.run("mine", phase="Running")
    read = a_call(cluster, "mine", "a", 0, attempt=2)
    write = a_call(cluster, "mine", "b", 0, task="write")
    a_warm_pod(cluster, 0, a_line(2, "x", **of(write)), a_line(3, "y", **of(read, 2)))

    def operate() -> None:
        wait_for(cluster, f"{PODS}/{POOL}-0/log")
        ended(cluster, "mine")

    with meanwhile(operate):
        assert apprun("logs", "-f", "mine", *query).out == "read/a0000000/2  y\n"


def test_followed_line_waits_for_an_absent_api_server(apprun: Command, cluster: FakeCluster) -> None:
    two_runs(cluster)
    early = a_call(cluster, "mine", "c", 0)
    path = f"{NAMESPACED}/apptasks/{early}"
    del cluster.objects[path]["metadata"]["labels"]
    a_warm_pod(cluster, 0, a_line(2, "early", **of(early)))
    absences = [None] * 2

    def hangs_up(handler: Handler, request: Request) -> None:
        absences.pop()
        if not absences:
            del cluster.refusals["GET", path]
        handler.close_connection = True

    cluster.refusals["GET", path] = hangs_up

    def operate() -> None:
        wait_for(cluster, path, 3)
        ended(cluster, "mine")

    with meanwhile(operate):
        assert apprun("logs", "-f", "mine").out == "read/c0000000/1  early\n"


def test_refused_log_of_a_followed_warm_pod_is_told(apprun: Command, cluster: FakeCluster) -> None:
    two_runs(cluster)
    a_warm_pod(cluster, 0)
    path = f"{PODS}/{POOL}-0/log"
    cluster.refusals["GET", path] = FORBIDDEN

    def operate() -> None:
        wait_for(cluster, path)
        ended(cluster, "mine")

    with meanwhile(operate):
        done = apprun("logs", "-f", "mine")
    assert f"{POOL}-0: its log can't be followed: pods" in " ".join(done.err.split())
