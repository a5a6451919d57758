"""Calls in warm pods, on a simulated cluster: the real operator and driver, pods that speak the interface.

Each party is killed at each of its API calls in turn, and the cluster breaks in each way that it knows. The end is the
same, nothing committed runs again, and no pod begins an attempt twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest
from tests.support.fake_api import Object, Place
from tests.support.sim.access import OPERATOR, PERSON
from tests.support.sim.cluster import NAMESPACE, Cluster, simulate
from tests.support.sim.crashes import Crash
from tests.support.sim.greenlets import Process
from tests.support.sim.invariants import outcome_of

from application_sdk.wire import names
from apprun_operator.plan.limits import Limits

NAMES = ["first", "second", "wide-0", "wide-1", "wide-2", "in a pod of its own", "again", "dies", "TaskFailedError"]
INPUT: Object = {"width": 3, "seconds": 1}

Fault = Callable[[Cluster], None]


def workers(cluster: Cluster) -> list[Object]:
    return cluster.of("appworkers")


def busy_pod(cluster: Cluster) -> Place | None:
    """The pod of an inbox with calls."""
    for worker in workers(cluster):
        place = Place("pods", NAMESPACE, worker["metadata"]["name"])
        if (worker.get("status") or {}).get("calls") and place in cluster.server.objects:
            return place
    return None


async def play(cluster: Cluster, **input: object) -> Object:
    """One run of `Warm`, and what is left when its pool is gone."""
    async with cluster.living():
        run = cluster.apply_run("r", "Warm", {**INPUT, **input})
        await cluster.until_ended(run, seconds=600)
        for node in cluster.nodes.nodes.values():
            if not node.ready:
                cluster.nodes.heal(node)
        await cluster.until_quiet(300)
        await cluster.until(lambda: not workers(cluster), 60, "no inbox is left")
        status = cluster.status(run)
        return {
            "phase": status["phase"],
            "names": (status.get("output") or {}).get("names"),
            "ledger": sorted((e["task"], e["outcome"]) for e in cluster.entries(run)),
        }


def charged(cluster: Cluster) -> Counter[tuple[str, str]]:
    """Reasons and budgets of all attempts that ended without a result."""
    found: Counter[tuple[str, str]] = Counter()
    for task in cluster.of("apptasks"):
        for attempt in outcome_of(task).get("attempts") or []:
            found[attempt["reason"], attempt["budget"]] += 1
    return found


def test_calls_are_executed_in_pods_that_stay() -> None:
    async def main() -> None:
        cluster = Cluster()
        async with cluster.living():
            run = cluster.apply_run("r", "Warm", INPUT)
            await cluster.until_ended(run, seconds=120)
            assert cluster.status(run)["output"]["names"] == NAMES
            assert all(count == 1 for count in cluster.done.values())
            warm = [task for task in cluster.of("apptasks") if "reuse" in task["spec"]]
            assert len({outcome_of(task)["pod"]["name"] for task in warm}) == 2
            assert charged(cluster) == {
                (reason, "App"): 1 for reason in ("ValueError", "ProcessDied", "NonRetryableError")
            }
            await cluster.until(lambda: not workers(cluster), 60, "the idle pool is gone")

    simulate(main())


def test_a_call_costs_five_writes_at_most() -> None:
    async def main() -> None:
        cluster = Cluster()
        async with cluster.living():
            run = cluster.apply_run("r", "Many", {"width": 60})
            await cluster.until_ended(run, seconds=300)
            kinds = Counter((verb, place.plural) for _, verb, place in cluster.server.writes)
            # What a run and a pool cost once isn't a call's.
            once = kinds["create", "pods"] + kinds["create", "appworkers"] + 20
            assert (sum(kinds.values()) - once) / 60 <= 5, kinds

    simulate(main())


def test_a_slow_api_server_has_no_pod_assigned_more_calls_than_it_takes() -> None:
    async def delay_requests(party: str, moment: str, request: str, process: Process | None) -> None:
        if party.startswith("operator") and moment == "before":
            await asyncio.sleep(0.5)

    async def main() -> None:
        cluster = Cluster(hook=delay_requests)
        async with cluster.living():
            run = cluster.apply_run("r", "Many", {"width": 30})
            await cluster.until_ended(run, seconds=300)
            assert cluster.invariants.broken == []

    simulate(main())


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("party", ["operator", "driver", "worker"])
def test_a_party_killed_at_any_api_call_changes_nothing_about_the_end(party: str, moment: str) -> None:
    watcher = Crash(party, 0, moment)
    expected = simulate(play(Cluster(hook=watcher)))
    assert (expected["phase"], expected["names"]) == ("Succeeded", NAMES)
    for number in range(1, len(watcher.requests) + 1):
        crash = Crash(party, number, moment)
        cluster = crash.cluster = Cluster(hook=crash, limits=Limits(runtime_image="runtime", node_lost_grace=3))
        what = f"the {party} was killed {moment} its call {number}: {watcher.requests[number - 1]}"
        assert simulate(play(cluster)) == expected, what


def kill_its_node(cluster: Cluster) -> None:
    cluster.nodes.kill(node_of(cluster))


def cut_its_node(cluster: Cluster) -> None:
    """Its pods are zombies from now on: they report when the node is back."""
    node = node_of(cluster)
    cluster.nodes.cut(node)
    cluster.nodes.later(20, lambda: cluster.nodes.heal(node))


def node_of(cluster: Cluster):  # type: ignore[no-untyped-def]
    pod = busy_pod(cluster)
    assert pod is not None
    return cluster.nodes.nodes[cluster.server.objects[pod]["spec"]["nodeName"]]


def kill_for_memory(cluster: Cluster) -> None:
    pod = busy_pod(cluster)
    assert pod is not None
    cluster.nodes.end_container(pod, "OOMKilled")


def delete_the_pod(cluster: Cluster) -> None:
    pod = busy_pod(cluster)
    assert pod is not None
    cluster.server.delete(OPERATOR, pod)


def delete_the_inbox(cluster: Cluster) -> None:
    pod = busy_pod(cluster)
    assert pod is not None
    cluster.server.delete(OPERATOR, Place("appworkers", NAMESPACE, pod.name))


def empty_the_inbox(cluster: Cluster) -> None:
    alter(cluster, lambda status: {**status, "calls": []})


def forge_the_inbox(cluster: Cluster) -> None:
    """Somebody has the pod execute another input."""

    def forged(status: Object) -> Object:
        call = status["calls"][0]
        inner = {**call["call"], "input": {**call["call"]["input"], "name": "forged"}}
        return {**status, "calls": [{**call, "call": inner}, *status["calls"][1:]]}

    alter(cluster, forged)


def drain_by_hand(cluster: Cluster) -> None:
    alter(cluster, lambda status: {**status, "drain": True})


def alter(cluster: Cluster, change: Callable[[Object], Object]) -> None:
    pod = busy_pod(cluster)
    assert pod is not None
    place = Place("appworkers", NAMESPACE, pod.name)
    item = cluster.server.read(place)
    cluster.server.put("MODIFIED", place, {**item, "status": change(item["status"])})


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_its_node, cut_its_node, kill_for_memory, delete_the_pod, delete_the_inbox, empty_the_inbox,
        forge_the_inbox, drain_by_hand,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_under_a_busy_pod_changes_nothing_about_the_end(name: str) -> None:
    async def main() -> Object:
        cluster = Cluster(node_count=3, limits=Limits(runtime_image="runtime", node_lost_grace=3))
        started = asyncio.create_task(play(cluster, seconds=8))
        done = False
        while not done and not started.done():
            await asyncio.sleep(0.25)
            if cluster.invariants.expected and sum(cluster.done.values()) >= 2 and busy_pod(cluster) is not None:
                FAULTS[name](cluster)
                done = True
        assert done
        return await started

    ended = simulate(main())
    assert (ended["phase"], ended["names"]) == ("Succeeded", NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_faults_under_warm_pods(seed: int) -> None:
    async def main() -> Object:
        chance = random.Random(seed)
        elected = seed % 2 == 0
        cluster = Cluster(
            chance=chance,
            node_count=4,
            limits=Limits(runtime_image="runtime", node_lost_grace=3, max_pods=chance.choice([0, 0, 3])),
            jitter=0.5,
            elected=elected,
            repeats=0.1,
        )
        started = asyncio.create_task(play(cluster, width=6, seconds=5))
        await asyncio.sleep(1)
        if elected:
            cluster.start_operator()
        for _ in range(8):
            await asyncio.sleep(chance.random() * 8)
            if started.done():
                break
            kind = chance.choice([*FAULTS, "operator"])
            if kind == "operator":
                await cluster.stop_operator(chance.choice(cluster.replicas))
                cluster.start_operator()
            elif busy_pod(cluster) is not None:
                FAULTS[kind](cluster)
            for node in cluster.nodes.nodes.values():
                if not node.alive and chance.random() < 0.5:
                    cluster.nodes.heal(node)
        for node in cluster.nodes.nodes.values():
            if not node.ready:
                cluster.nodes.heal(node)
        return await started

    assert simulate(main(), seed)["phase"] in ("Succeeded", "Failed")


def test_a_pool_of_an_app_is_shared_by_its_runs_and_named_after_it() -> None:
    async def main() -> None:
        cluster = Cluster()
        async with cluster.living():
            body = {
                "apiVersion": names.API_VERSION,
                "kind": "App",
                "metadata": {"name": "shop"},
                "spec": {"image": "app:1", "entry": "tests.support.sim.apps:Warm"},
            }
            cluster.server.create(PERSON, Place("apps", NAMESPACE, "shop"), body)
            runs = []
            for name in ("a", "b"):
                place = Place("appruns", NAMESPACE, name)
                spec = {"appRef": {"name": "shop"}, "input": INPUT}
                run = {**body, "kind": "AppRun", "metadata": {"name": name}, "spec": spec}
                cluster.server.create(PERSON, place, run)
                cluster.invariants.expect(name)
                runs.append(place)
            await cluster.until_ended(*runs, seconds=200)
            pools = {task["status"]["pod"]["name"].rpartition("-")[0] for task in cluster.of("apptasks")
                     if "reuse" in task["spec"]}  # fmt: skip
            assert len(pools) == 1
            name = pools.pop()
            assert name.startswith("shop-w-")
            shop = Place("apps", NAMESPACE, "shop")
            (told,) = cluster.status(shop)["pools"]
            assert (told["name"], told["tasks"], told["size"]) == (name, ["warm"], 2)
            await cluster.until(lambda: not cluster.status(shop).get("pools"), 60, "the idle pool is gone")

    simulate(main())


def test_late_report_of_an_attempt_that_was_passed_over() -> None:
    """Its pod can't reach the API server, so the next attempt follows: in the same pod, since there is no other.

    Were the late result taken for that of the next attempt, the pod would execute a call that has its result.
    """

    async def cut_off() -> tuple[Object, set[int]]:
        cluster = Cluster(limits=Limits(runtime_image="runtime", node_lost_grace=300))
        async with cluster.living():
            run = cluster.apply_run("r", "Warm", {"width": 1, "seconds": 4})
            await cluster.until(
                lambda: len(cluster.warm_calls) == 3, what="the pod that has answered before is at work"
            )
            node = node_of(cluster)
            cluster.nodes.cut(node)
            await cluster.until(
                lambda: any(task["status"].get("attempt", 1) > 1 for task in cluster.of("apptasks")),
                what="the next attempt has begun",
            )
            cluster.nodes.heal(node)
            await cluster.until_ended(run, seconds=600)
            return cluster.status(run), {attempt for _, _, attempt in cluster.warm_calls}

    status, attempts = simulate(cut_off())
    assert status["phase"] == "Succeeded"
    assert 2 in attempts
