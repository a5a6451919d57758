"""Calls in warm pods, and the pools of an App, as `apprun show` and `apprun describe` tell of them."""

from __future__ import annotations

from typing import Any

from tests.support.cluster_wire import NAMESPACED, PODS, FakeCluster
from tests.support.wire_server import refuse
from tests.unit.cli.conftest import Command

POOL = "hello-w-1a2b3c4d"
WARM = {"reuse": {"replicas": {"min": 0, "max": 2}, "concurrency": 1, "mode": "process"}}


def a_pool(**counts: Any) -> dict[str, Any]:
    return {"name": POOL, "tasks": ["read"], "size": 2, "busy": 2, "idle": 0, "draining": 0, "renewed": 0, **counts}


def an_app(cluster: FakeCluster, *pools: dict[str, Any], ready: str = "True", reason: str = "Published") -> None:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": "its code was inspected"}
    status = {"conditions": [condition], "pools": list(pools)}
    cluster.put(f"{NAMESPACED}/apps/hello", {"spec": {"entry": "app:Hello", "image": "hello:1"}, "status": status})


def a_warm_pod(cluster: FakeCluster, slot: int, phase: str = "Running") -> dict[str, Any]:
    labels = {"apprun.dev/pool": POOL, "apprun.dev/role": "worker"}
    pod = {"metadata": {"name": f"{POOL}-{slot}", "labels": labels}, "spec": {"nodeName": "node1"}}
    return cluster.put(f"{PODS}/{POOL}-{slot}", {**pod, "status": {"phase": phase}})


def an_assigned_call(cluster: FakeCluster, key: str, slot: int, **status: Any) -> None:
    pod = {"name": f"{POOL}-{slot}", "uid": f"uid-{POOL}-{slot}"}
    fields = {"phase": "Active", "attempt": 1, "pod": pod, "assignedAt": "2026-07-01T10:00:05Z", **status}
    cluster.task("r", key, "read", {**WARM, "sequence": int(key, 16)}, **fields)


def a_waiting_call(cluster: FakeCluster, key: str, **status: Any) -> None:
    cluster.task("r", key, "read", {**WARM, "sequence": int(key, 16)}, **status)


def a_run(cluster: FakeCluster, **status: Any) -> None:
    cluster.run("r", phase="Running", **status)
    driver = cluster.task(
        "r", "driver", "driver", {"role": "driver", "key": "driver"}, startedAt="2026-07-01T10:00:01Z"
    )
    cluster.pod(driver, 1, "Running")


def described(apprun: Command, name: str = "r") -> str:
    return " ".join(apprun("describe", name).out.split())


def test_show_names_the_warm_pod_of_a_call(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    an_app(cluster, a_pool(size=1, busy=1))
    a_warm_pod(cluster, 0)
    an_assigned_call(cluster, "a", 0)
    lines = [" ".join(line.split()) for line in apprun("show", "r").out.splitlines()]
    assert "CALL STATE ATTEMPT NODE WARM POD TOOK" in lines
    assert any(line.startswith(f"└─ read Running 1 node1 {POOL}-0 ") for line in lines)
    assert "POOL TASKS SIZE BUSY IDLE STARTING DRAINING RENEWED" in lines
    assert f"{POOL} read 1 1 0 0 0 0" in lines
    details = apprun("show", "r", "-o", "json").json
    assert [call["pod"] for call in details["calls"]] == [f"{POOL}-0"]
    assert details["pools"] == [a_pool(size=1, busy=1)]


def test_call_in_a_warm_pod_began_when_it_was_assigned(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    a_warm_pod(cluster, 0)
    an_assigned_call(cluster, "a", 0)
    an_assigned_call(cluster, "b", 1, startedAt="2026-07-01T10:00:06Z")
    calls = apprun("show", "r", "-o", "json").json["calls"]
    assert [call["startedAt"] for call in calls] == ["2026-07-01T10:00:05.000Z", "2026-07-01T10:00:06.000Z"]


def test_assigned_call_runs_for_whoever_may_not_list_pods(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    an_assigned_call(cluster, "a", 0)
    cluster.refusals["GET", PODS] = refuse(403, "Forbidden", "it is forbidden")
    cluster.refusals["GET", f"{NAMESPACED}/apps/hello"] = refuse(403, "Forbidden", "it is forbidden")
    (call,) = apprun("show", "r", "-o", "json").json["calls"]
    assert (call["state"], call["pod"]) == ("Running", f"{POOL}-0")


def test_another_pod_of_the_name_says_nothing_of_a_call(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    a_warm_pod(cluster, 0, "Failed")["metadata"]["uid"] = "another"
    an_assigned_call(cluster, "a", 0)
    (call,) = apprun("show", "r", "-o", "json").json["calls"]
    assert (call["state"], call["message"]) == ("Running", "")


def test_call_that_waits_for_a_full_pool_says_so(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    an_app(cluster, a_pool(size=3, draining=1))
    for slot in (0, 1):
        a_warm_pod(cluster, slot)
        an_assigned_call(cluster, str(slot), slot)
    a_waiting_call(cluster, "2")
    a_waiting_call(cluster, "3")
    text = described(apprun)
    assert (
        f"2 calls of read wait for a warm pod: the pool is at its maximum of 2 pods, and all are busy ({POOL})." in text
    )
    assert "raise `replicas` of the task's `reuse`" in text
    assert apprun("show", "r").out.count("the pool is at its maximum of 2 pods") == 2


def test_call_that_waits_for_a_growing_pool_says_so(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    an_app(cluster, a_pool(size=1, busy=0))
    a_waiting_call(cluster, "a")
    text = described(apprun)
    assert f"waits for a warm pod: the pool has 1 of at most 2 pods, 1 of them starting ({POOL})." in text
    assert "as far as quotas and its own limits let it" in text


def test_call_of_a_pool_without_status_counts_the_runs_own(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    an_assigned_call(cluster, "1", 0)
    an_assigned_call(cluster, "2", 1)
    a_waiting_call(cluster, "3")
    assert "the pool is at its maximum of 2 pods, and all are busy." in described(apprun)


def test_idle_pod_is_about_to_take_the_call(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    an_app(cluster, a_pool(busy=1, idle=1))
    a_waiting_call(cluster, "a")
    assert "read (a0000000) waits to be started: its turn." in described(apprun)


def test_limit_of_the_run_comes_before_that_of_the_pool(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster, message="calls wait for their turn: parallelism is 1")
    an_app(cluster, a_pool())
    a_waiting_call(cluster, "a")
    text = described(apprun)
    assert "parallelism is 1" in text
    assert "warm pod" not in text


def test_pool_whose_pods_cannot_start_says_why(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    a_waiting_call(cluster, "a", phase="Waiting", message="Unschedulable: no node takes the pod")
    text = described(apprun)
    assert (
        "read (a0000000) waits for a warm pod, and none of the pool can start: Unschedulable: no node takes the pod"
        in text
    )
    assert "kubectl get nodes" in text


def test_call_at_work_names_its_warm_pod(apprun: Command, cluster: FakeCluster) -> None:
    a_run(cluster)
    a_warm_pod(cluster, 0)
    an_assigned_call(cluster, "a", 0, startedAt="2026-07-01T10:00:06Z")
    assert f"read has been at work on node1 in warm pod {POOL}-0 for" in described(apprun)


def test_describe_of_an_app_says_what_its_pools_do(apprun: Command, cluster: FakeCluster) -> None:
    an_app(cluster, a_pool(size=7, busy=3, idle=1, draining=1, renewed=4))
    text = described(apprun, "app/hello")
    assert text.startswith("hello entry app:Hello image hello:1 on cluster test, namespace team · The App is ready")
    assert f"Pool {POOL} (read) has 7 pods: 3 busy, 1 idle, 2 starting, 1 draining; 4 renewed." in text
    document = apprun("describe", "app/hello", "-o", "json").json
    assert document["pools"] == [a_pool(size=7, busy=3, idle=1, draining=1, renewed=4)]
    assert len(document["findings"]) == 2


def test_describe_of_an_app_says_why_it_is_not_ready(apprun: Command, cluster: FakeCluster) -> None:
    an_app(cluster, ready="False", reason="LoadFailed")
    text = described(apprun, "app/hello")
    assert "The App isn't ready, LoadFailed: its code was inspected" in text
    assert "Correct the code" in text


def test_describe_of_an_app_that_is_not_there(apprun: Command, cluster: FakeCluster) -> None:
    done = apprun("describe", "app/helo")
    assert (done.code, "helo" in done.err) == (4, True)
    assert apprun("describe", "app/hello", "--local").code == 2


def test_watch_names_the_warm_pod_of_a_call(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Succeeded")
    an_assigned_call(cluster, "a", 0, phase="Succeeded", output={"text": "x"}, node="node1")
    assert f"read/a0000000: Succeeded on node1 in warm pod {POOL}-0" in apprun("watch", "r").out
