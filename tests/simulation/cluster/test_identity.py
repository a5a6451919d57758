"""A run that is made again under its name, while pods of the one before it live on where nobody reaches them."""

from __future__ import annotations

from tests.support.fake_api import Place
from tests.support.sim.access import PERSON
from tests.support.sim.cluster import NAMESPACE, Cluster, simulate


def on_nodes(cluster: Cluster) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in cluster.of("pods") if pod["spec"].get("nodeName")}


def test_pods_of_a_deleted_run_report_nothing_for_its_namesake() -> None:
    async def story() -> None:
        cluster = Cluster(node_count=4)
        async with cluster.living():
            work = {"width": 1, "seconds": 20.0}
            first = cluster.apply_run("r", "Chain", work)
            await cluster.until(lambda: sum(cluster.began.values()) == 1)
            lost = [cluster.nodes.nodes[name] for name in sorted(on_nodes(cluster))]
            for node in lost:
                cluster.nodes.cut(node)
            cluster.server.delete(PERSON, first)
            await cluster.until(lambda: not cluster.places("apptasks"))
            old_pods = set(cluster.places("pods"))
            second = cluster.apply_run("r", "Wide", work)
            uid = cluster.server.objects[second]["metadata"]["uid"]

            # Nothing is held up by pods that may be Terminating forever.
            await cluster.until(lambda: sum(cluster.began.values()) == 2, 30)
            assert old_pods <= set(cluster.places("pods"))
            for node in lost:
                cluster.nodes.heal(node)
            await cluster.until_ended(second)
            assert cluster.status(second)["phase"] == "Succeeded"
            assert [count for key, count in cluster.done.items() if key.startswith(uid)] == [1]
            (task,) = (item for item in cluster.of("apptasks") if item["spec"]["role"] == "task")
            assert task["status"]["node"] not in {node.name for node in lost}
            assert "attempts" not in task["status"]

    simulate(story())


def test_pods_that_an_older_operator_has_named_are_replaced() -> None:
    """As after an upgrade: their reports are refused, so their attempts begin again, charged to nobody."""

    async def story() -> None:
        cluster = Cluster()
        async with cluster.living():
            run = cluster.apply_run("r", "Chain", {"width": 1, "seconds": 20.0})
            await cluster.until(lambda: sum(cluster.began.values()) == 1)
            await cluster.stop_operator()
            for place in cluster.places("pods"):
                item = cluster.server.objects.pop(place)
                cluster.server.put("DELETED", place, item, item)
                old = Place("pods", NAMESPACE, place.name.rpartition("-")[0])
                cluster.server.put("ADDED", old, {**item, "metadata": {**item["metadata"], "name": old.name}})
            cluster.start_operator()
            await cluster.until_ended(run)
            await cluster.until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in cluster.of("pods")), 30)
            assert cluster.status(run)["phase"] == "Succeeded"
            assert not [item for item in cluster.of("apptasks") if "attempts" in item["status"]]

    simulate(story())
