"""What the operator counts of warm pods, on a simulated cluster."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from tests.support.fake_api import Object
from tests.support.sim.cluster import Cluster, simulate

from apprun_operator.plan.limits import Limits

INPUT: Object = {"width": 3, "seconds": 8}


def samples(cluster: Cluster) -> dict[tuple[str, ...], float]:
    """All samples of the only replica, by name and the values of their labels."""
    (replica,) = cluster.replicas
    families = text_string_to_metric_families(replica.metrics.text().decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_pods_and_assignments_are_counted() -> None:
    async def main() -> None:
        cluster = Cluster()
        async with cluster.living():
            run = cluster.apply_run("r", "Warm", INPUT)
            await cluster.until(lambda: samples(cluster)["apprun_warm_pods", "busy"] == 2, 120, "both pods are busy")
            await cluster.until_ended(run, seconds=120)
            warm = [task["status"] for task in cluster.of("apptasks") if "reuse" in task["spec"]]
            assert samples(cluster)["apprun_warm_calls_assigned_total",] == sum(status["attempt"] for status in warm)
            # A call ahead of another one turned out to take long.
            ended = [attempt["reason"] for status in warm for attempt in status.get("attempts") or []]
            assert samples(cluster)["apprun_warm_calls_not_acknowledged_total",] == ended.count("NotAcknowledged") > 0
            await cluster.until(lambda: not cluster.of("appworkers"), 60, "the idle pool is gone")
            counts = {labels[1]: value for labels, value in samples(cluster).items() if labels[0] == "apprun_warm_pods"}
            assert counts == {"starting": 0, "idle": 0, "busy": 0, "draining": 0}

    simulate(main())


def test_attempts_that_end_with_a_warm_pod_are_counted() -> None:
    async def main() -> None:
        cluster = Cluster(node_count=3, limits=Limits(runtime_image="runtime", node_lost_grace=3))
        async with cluster.living():
            run = cluster.apply_run("r", "Warm", INPUT)
            await cluster.until(lambda: samples(cluster)["apprun_warm_pods", "busy"] == 2, 120, "both pods are busy")
            name = next(worker["metadata"]["name"] for worker in cluster.of("appworkers") if worker["status"]["calls"])
            pod = next(pod for pod in cluster.of("pods") if pod["metadata"]["name"] == name)
            cluster.nodes.kill(cluster.nodes.nodes[pod["spec"]["nodeName"]])
            await cluster.until_ended(run, seconds=300)
            failed = [labels for labels in samples(cluster) if labels[0] == "apprun_attempts_failed_total"]
            assert any("Disruption" in labels or "NotAcknowledged" in labels for labels in failed), failed

    simulate(main())
