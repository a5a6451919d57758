"""Warm pods on a real cluster: calls share pods, nothing else, and what dies costs only what wasn't committed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from tests.cluster.apiserver import Answer, Client
from tests.support.bed import EXISTING, Bed
from tests.support.kube import CORE, Object, eventually
from tests.support.runs import Runs

from application_sdk.wire import names

needs_own_cluster = pytest.mark.skipif(EXISTING, reason="an existing cluster's nodes are not ours to break")
NOT_THE_OPERATOR = "apprun: the inboxes of warm pods are written by the operator only"


@pytest.fixture
def warm(runs: Runs) -> Runs:
    runs.upload("warm")
    app(runs, "warm", "Warm")
    return runs


def app(runs: Runs, name: str, entry: str, **spec: Any) -> None:
    body = {"serviceAccountName": "probe", "source": {"configMap": {"name": "warm"}}} | spec
    runs.app(name, f"app:{entry}", **body)


def name_of(item: Object) -> str:
    name: str = item["metadata"]["name"]
    return name


def pool_pods(runs: Runs) -> list[Object]:
    return runs.kube.items(f"{runs.core}/pods?labelSelector={names.ROLE_LABEL}={names.WORKER_CONTAINER}")


def workers(runs: Runs) -> list[Object]:
    return runs.kube.items(f"{runs.api}/appworkers")


def pools(runs: Runs, app: str) -> list[Object]:
    found: list[Object] = runs.kube.get(f"{runs.api}/apps/{app}").get("status", {}).get("pools", [])
    return found


def succeeded(runs: Runs, run: str, seconds: float = 180) -> list[Object]:
    """What the calls of a run that has succeeded say about themselves."""
    status = runs.until_phase(run, "Succeeded", "Failed", "Stalled", seconds=seconds)
    assert status["phase"] == "Succeeded", status
    calls: list[Object] = status["output"].get("calls", [])
    return calls


def attempts(runs: Runs, run: str) -> list[tuple[str, str]]:
    """Reason and budget of each attempt of the run's calls that didn't end well."""
    ended = [entry for task in runs.tasks(run) for entry in task["status"].get("attempts", [])]
    return [(entry["reason"], entry["budget"]) for entry in ended]


# Executed


def test_calls_in_sequence_share_a_pod(warm: Runs) -> None:
    warm.start("many", "warm", {"sequence": 30})
    calls = succeeded(warm, "many")
    assert [call["number"] for call in calls] == list(range(30))
    # A pod that is slow to answer is passed over, and costs another one.
    assert len({call["pod"] for call in calls}) <= 1 + len(attempts(warm, "many"))
    assert [entry["outcome"] for entry in warm.checkpoints("many")] == ["Succeeded"] * 30
    # Each in a process of its own, in which it was the first, with a temporary folder of its own.
    assert {call["calls"] for call in calls} == {1}
    assert len({call["folder"] for call in calls}) == 30
    assert [pod["metadata"]["name"] for pod in warm.pods("many")] == [warm.driver_pod("many")]


def test_calls_side_by_side_use_the_pools_pods(warm: Runs) -> None:
    warm.start("wide", "warm", {"parallel": 40, "seconds": 0.2})
    calls = succeeded(warm, "wide")
    assert sorted(call["number"] for call in calls) == list(range(40))
    assert len({call["pod"] for call in calls}) == 4
    (pool,) = pools(warm, "warm")
    assert pool["size"] == 4
    assert pool["tasks"] == ["step"]


def test_each_call_runs_once(warm: Runs) -> None:
    warm.start("once", "warm", {"sequence": 5, "parallel": 20, "how": "witness"})
    succeeded(warm, "once")
    assert warm.witnesses() == Counter(entry["key"] for entry in warm.checkpoints("once"))


def test_pod_of_a_call_is_told(bed: Bed, warm: Runs) -> None:
    warm.start("told", "warm", {"sequence": 1, "seconds": 8})
    (task,) = eventually("the call has a pod", lambda: [t for t in warm.tasks("told") if "pod" in t["status"]])
    name = task["status"]["pod"]["name"]
    assert [worker["metadata"]["name"] for worker in workers(warm)] == [name]
    shown = bed.run(bed.kubectl, "get", "appworkers", "-n", warm.namespace).stdout
    assert name in shown
    assert task["metadata"]["name"] in shown
    # A call that takes longer than a moment says so, or it would be given to another pod.
    eventually("it was acknowledged", lambda: warm.tasks("told")[0]["status"].get("startedAt"))
    succeeded(warm, "told")


def test_idle_pool_costs_nothing(warm: Runs) -> None:
    warm.start("short", "warm", {"parallel": 4})
    succeeded(warm, "short")
    eventually("no warm pod is left", lambda: not pool_pods(warm) or None)
    eventually("no inbox is left", lambda: not workers(warm) or None)
    eventually("the App's status has no pool", lambda: not pools(warm, "warm") or None)


# Ended


@pytest.mark.parametrize(
    ("how", "error"),
    [("raises", "ValueError after 3"), ("hungry", "(MemoryError|ProcessDied|OOMKilled) after 3")],
)
def test_failure_is_given_to_the_route(warm: Runs, how: str, error: str) -> None:
    app(warm, "failing", "Failing", pod={"memory": "256Mi"})
    warm.start(how, "failing", {"how": how})
    status = warm.until_phase(how, "Succeeded", "Failed", "Stalled")
    kind, _, count = status["output"]["error"].partition(" after ")
    kinds, _, counts = error.partition(" after ")
    assert kind in kinds.strip("()").split("|"), status
    assert count == counts


@pytest.mark.parametrize("how", ["flaky", "exits"])
def test_attempt_that_fails_is_repeated_in_the_pod(warm: Runs, how: str) -> None:
    app(warm, "failing", "Failing")
    warm.start(how, "failing", {"how": how})
    calls = succeeded(warm, how)
    assert [call["attempt"] for call in calls] == [1, 2, 1]
    # What ends a call's process doesn't end its pod.
    assert len({call["pod"] for call in calls}) == 1
    assert [budget for _, budget in attempts(warm, how) if budget != "None"] == ["App"]


def test_deleted_pod_costs_an_attempt_that_nobody_is_charged(warm: Runs) -> None:
    warm.start("robbed", "warm", {"parallel": 4, "seconds": 6, "how": "witness"})

    def at_work() -> list[str]:
        status = [task["status"] for task in warm.tasks("robbed")]
        return [one["pod"]["name"] for one in status if one.get("startedAt") and not one.get("finishedAt")]

    # Pods start one after the other: one that started early may have done its call when the last one begins.
    (victim, *_) = eventually("a call is at work", lambda: at_work() or None)
    warm.kube.delete(f"{warm.core}/pods/{victim}", gracePeriodSeconds=0)
    calls = succeeded(warm, "robbed")
    assert len(calls) == 4
    # A second call may have waited in that pod, and a slow one is passed over elsewhere. None is the task's fault.
    budgets = {budget for _, budget in attempts(warm, "robbed")}
    assert "Disruption" in budgets <= {"Disruption", "None"}
    ledger = {entry["key"] for entry in warm.checkpoints("robbed")}
    assert set(warm.witnesses()) == ledger


# Modes and limits


def test_actor_keeps_its_globals(warm: Runs) -> None:
    app(warm, "acting", "Acting")
    warm.start("actor", "acting", {"sequence": 5})
    calls = succeeded(warm, "actor")
    counted: dict[tuple[str, int], list[int]] = {}
    for call in calls:
        counted.setdefault((call["pod"], call["process"]), []).append(call["calls"])
    assert all(counts == list(range(1, len(counts) + 1)) for counts in counted.values())
    assert len(counted) <= 1 + len(attempts(warm, "actor"))


@pytest.mark.parametrize("how", ["exits", "blocks"])
def test_actor_that_dies_is_replaced(warm: Runs, how: str) -> None:
    app(warm, "acting", "Acting")
    warm.start(how, "acting", {"sequence": 2, "how": how})
    calls = succeeded(warm, how)
    assert [call["attempt"] for call in calls] == [1, 1, 2]
    assert calls[-1]["calls"] == 1
    assert calls[-1]["process"] != calls[0]["process"] or calls[-1]["pod"] != calls[0]["pod"]


def test_pod_makes_way_after_max_calls(warm: Runs) -> None:
    app(warm, "leaking", "Leaking")
    warm.start("leak", "leaking", {"sequence": 16})
    # Names are used again, so the pods are counted by the operator: as long as there is the pool.
    eventually("the renewals are counted", lambda: [p for p in pools(warm, "leaking") if p["renewed"] >= 2] or None)
    assert len(succeeded(warm, "leak")) == 16
    assert {budget for _, budget in attempts(warm, "leak")} <= {"None"}


def test_app_gives_warm_pods_to_a_task_or_takes_them_away(warm: Runs) -> None:
    app(warm, "cold", "Warm", tasks={"step": {"runsIn": "pod"}})
    warm.start("cold", "cold", {"sequence": 2})
    calls = succeeded(warm, "cold")
    assert len({call["pod"] for call in calls}) == 2
    assert pool_pods(warm) == []


# Apart


def test_other_secrets_are_another_pool(warm: Runs) -> None:
    warm.kube.create(f"{warm.core}/secrets", {"metadata": {"name": "key"}, "stringData": {"key": "0123456789abcdef"}})
    app(warm, "apart", "Apart", secrets=[{"name": "key"}])
    warm.start("apart", "apart", {"seconds": 5})
    pods = eventually("both pools have a pod", lambda: found if len(found := pool_pods(warm)) == 2 else None)
    armed, unarmed = succeeded(warm, "apart")
    assert armed["pod"].rpartition("-")[0] != unarmed["pod"].rpartition("-")[0]
    mounts = {
        pod["metadata"]["name"]: [volume for volume in pod["spec"]["volumes"] if "secret" in json.dumps(volume)]
        for pod in pods
    }
    assert "key" in json.dumps(mounts[armed["pod"]])
    assert "key" not in json.dumps(mounts[unarmed["pod"]])


def test_new_code_is_another_pool(warm: Runs) -> None:
    warm.start("old", "warm", {"sequence": 1})
    (old,) = succeeded(warm, "old")
    warm.upload("renewed", (warm.kube.get(f"{warm.core}/configmaps/warm")["data"]["app.py"]) + "\n# new\n")
    warm.kube.merge(f"{warm.api}/apps/warm", {"spec": {"source": {"configMap": {"name": "renewed"}}}})
    warm.start("new", "warm", {"sequence": 1})
    (new,) = succeeded(warm, "new")
    assert old["pod"].rpartition("-")[0] != new["pod"].rpartition("-")[0]
    eventually(
        "the old pool is gone", lambda: old["pod"] not in [p["metadata"]["name"] for p in pool_pods(warm)] or None
    )


@pytest.fixture
def two_apps(warm: Runs) -> tuple[Object, Object]:
    """Warm pods of two Apps of one namespace, both at work."""
    app(warm, "other", "Warm")
    for name in ("warm", "other"):
        warm.start(name, name, {"sequence": 1, "seconds": 25})
    found = eventually("both have a pod", lambda: pods if len(pods := pool_pods(warm)) == 2 else None)
    first, second = sorted(found, key=lambda pod: pod["metadata"]["name"])
    return second, first


def test_pod_reads_the_inboxes_of_its_own_pool_only(bed: Bed, warm: Runs, two_apps: tuple[Object, Object]) -> None:
    mine, other = two_apps
    account = f"system:serviceaccount:{warm.namespace}:{mine['spec']['serviceAccountName']}"
    pod = Client.from_kubeconfig(bed.kubeconfig).impersonating(account, "system:serviceaccounts")
    allowed = pod.get(f"{warm.api}/appworkers/{mine['metadata']['name']}")
    assert allowed.code == 200
    for path in (
        f"{warm.api}/appworkers",
        f"{warm.api}/apptasks",
        f"{warm.api}/appruns",
        f"{warm.core}/secrets",
        f"{warm.core}/pods",
        f"{CORE}/namespaces/kube-system/pods",
    ):
        refused(pod.get(path), "is forbidden")
    # Both Apps name the account `probe`, whose pods may read the inboxes of both.
    assert mine["spec"]["serviceAccountName"] == other["spec"]["serviceAccountName"] == "probe"


def refused(answer: Answer, words: str) -> None:
    assert (answer.code, words in answer.message) == (403, True), f"{answer.code}: {answer.message or 'was allowed'}"


def test_nobody_but_the_operator_fills_an_inbox(bed: Bed, warm: Runs) -> None:
    warm.start("filled", "warm", {"sequence": 1, "seconds": 20})
    (worker,) = eventually("there is an inbox", lambda: workers(warm))
    name, pod = worker["metadata"]["name"], worker["status"]["pod"] if "status" in worker else {}
    admin = Client.from_kubeconfig(bed.kubeconfig)
    path = f"{warm.api}/appworkers/{name}"
    refused(admin.patch(f"{path}/status", {"status": {"drain": True}}), NOT_THE_OPERATOR)
    refused(admin.patch(path, {"metadata": {"labels": {"a": "b"}}}), NOT_THE_OPERATOR)
    body = {**worker, "metadata": {"name": f"{worker['spec']['pool']}-3", "namespace": warm.namespace}}
    body.pop("status", None)
    refused(admin.create(f"{warm.api}/appworkers", body), NOT_THE_OPERATOR)
    assert pod.get("name", name) == name


def test_deleted_inbox_costs_its_pods_attempt_only(warm: Runs) -> None:
    warm.start("without", "warm", {"sequence": 2, "seconds": 4, "how": "witness"})
    eventually("a call is at work", lambda: [t for t in warm.tasks("without") if t["status"].get("startedAt")])
    (worker,) = workers(warm)
    warm.kube.delete(f"{warm.api}/appworkers/{worker['metadata']['name']}")
    assert len(succeeded(warm, "without")) == 2
    assert {budget for _, budget in attempts(warm, "without")} <= {"Disruption", "None"}
    assert set(warm.witnesses()) == {entry["key"] for entry in warm.checkpoints("without")}
