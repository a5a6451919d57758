"""What people and machines see of runs: kubectl, events, logs, what is kept of them, and Prometheus.

One set of runs for all of it: one that succeeds after a retry, failures of different kinds, one that waits, one that
is stalled.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import CORE, Object, eventually
from tests.support.prometheus import Prometheus, scraping
from tests.support.queries import alert_queries, panel_queries
from tests.support.runs import Runs, source

pytestmark = pytest.mark.exclusive

QUIET = {"What is held up, and by what A", "Actions that failed, a second A"}
"""Panels that may be empty: nothing need be wrong."""
FIRING = {"AppRunRunsStalled", "AppRunRunsFail", "AppRunHeld"}
"""Alerts whose condition these runs fulfil; whether it lasts as long as `for` asks isn't waited for."""


@dataclass(frozen=True)
class Scene:
    """The runs, as they stand, and a Prometheus that has watched them come about."""

    bed: Bed
    runs: Runs
    prometheus: Prometheus

    def kubectl(self, *arguments: str) -> str:
        return self.bed.run(self.bed.kubectl, "-n", self.runs.namespace, *arguments).stdout


@pytest.fixture(scope="module")
def scene(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace, "labels": labels}})
    runs = Runs(bed.kube, namespace)
    runs.upload("watched")
    for name in ("watched", "loud", "hungry", "held"):
        runs.app(name, f"app:{name.title()}", source=source("watched"))
    runs.app("missing", "app:Missing", source=source("watched"))
    # A process tells a hundred apps apart by name, and earlier tests have had more.
    restart(bed)
    paths = [f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}:8080/proxy/metrics" for pod in operator_pods(bed)]
    with scraping(paths, bed.kubeconfig, tmp_path_factory.mktemp("prometheus")) as prometheus:
        eventually("Prometheus sees a leader", lambda: prometheus.query("apprun_is_leader == 1"), 60)
        for name in ("watched", "loud", "hungry", "held", "missing"):
            runs.start(f"{name}-1", name)
        runs.until_phase("watched-1", "Succeeded")
        for name in ("loud", "hungry"):
            runs.until_phase(f"{name}-1", "Failed")
        runs.until_phase("missing-1", "Stalled")
        eventually("a call waits", lambda: waiting(runs, "held-1"), 60)
        runs.start("loud-2", "loud")
        runs.until_phase("loud-2", "Failed")
        eventually("its failure is scraped", lambda: scraped(prometheus, namespace), 60)
        yield Scene(bed, runs, prometheus)
    bed.kube.delete(f"{CORE}/namespaces/{namespace}")


def restart(bed: Bed) -> None:
    """New processes of the operator."""
    with bed.terminations.removals("the deployment is restarted"):
        for command in ("restart", "status"):
            bed.run(bed.kubectl, "-n", SYSTEM_NAMESPACE, "rollout", command, "deployment/apprun")


def operator_pods(bed: Bed) -> list[str]:
    selector = "app.kubernetes.io/component=operator"
    pods = bed.kube.items(f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods?labelSelector={selector}")
    return [
        pod["metadata"]["name"]
        for pod in pods
        if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def waiting(runs: Runs, run: str) -> list[Object]:
    return [task for task in runs.tasks(run) if task["status"]["phase"] == "Waiting"]


def scraped(prometheus: Prometheus, namespace: str) -> list[Object]:
    query = f'apprun_runs_finished_total{{namespace="{namespace}",app="loud",outcome="Failed"}} == 2'
    return prometheus.query(query)


def only_task(scene: Scene, run: str) -> Object:
    (task,) = scene.runs.tasks(run)
    return task


@pytest.mark.parametrize("query", panel_queries())
def test_each_panel_has_something_to_show(scene: Scene, query: str) -> None:
    expression = panel_queries()[query]

    def answered() -> object:
        found = scene.prometheus.query(expression)
        return query in QUIET or [sample for sample in found if sample["value"][1] != "NaN"]

    eventually(f"{query} returns data: {expression}", answered, 30)


def test_only_the_right_alerts_fire(scene: Scene) -> None:
    holding = {alert for alert, expression in alert_queries().items() if scene.prometheus.query(expression)}
    assert holding >= FIRING
    assert not holding & {
        "AppRunOperatorAbsent",
        "AppRunNoLeader",
        "AppRunSeveralLeaders",
        "AppRunTasksKilledForMemory",
    }


def test_times_and_causes_are_told_by_app_and_never_by_run(scene: Scene) -> None:
    where = f'namespace="{scene.runs.namespace}"'
    stages = scene.prometheus.query(f'apprun_task_stage_seconds_count{{{where},app="watched"}}')
    assert {sample["metric"]["stage"] for sample in stages} == {"queue", "start", "run", "commit"}
    causes = scene.prometheus.query(f"apprun_attempts_failed_total{{{where}}} > 0")
    found = {(c["metric"]["app"], c["metric"]["budget"], c["metric"]["reason"]) for c in causes}
    assert {("watched", "App", "Exception"), ("loud", "App", "Exception"), ("hungry", "App", "OOMKilled")} <= found
    held = scene.prometheus.query(f"apprun_held{{{where}}}")
    assert {(h["metric"]["app"], h["metric"]["reason"]) for h in held} == {
        ("held", "Unschedulable"),
        ("missing", "LoadFailed"),
    }
    path = f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{operator_pods(scene.bed)[0]}:8080/proxy/metrics"
    assert "loud-1" not in scene.bed.kube.raw(path)


def test_the_log_of_a_failed_attempt_is_kept_with_its_task(scene: Scene) -> None:
    log = only_task(scene, "loud-1")["status"]["log"]
    assert log["attempt"] == 1
    assert "WARNING loud: about to fail\nprinted by the app" in log["tail"]
    described = scene.kubectl("describe", "apptask", only_task(scene, "loud-1")["metadata"]["name"])
    assert "printed by the app" in described


def test_what_a_killed_process_printed_last_is_kept_too(scene: Scene) -> None:
    status = only_task(scene, "hungry-1")["status"]
    assert status["error"]["type"] == "OOMKilled"
    assert "reading all of it" in status["log"]["tail"]


def test_a_retry_that_worked_leaves_its_trace(scene: Scene) -> None:
    first = min(scene.runs.tasks("watched-1"), key=lambda task: task["spec"]["sequence"])
    assert first["status"]["phase"] == "Succeeded"
    assert first["status"]["message"] == "App 1/3: OSError"


def test_lines_of_a_driver_say_what_they_are_about(scene: Scene) -> None:
    (pod,) = [pod for pod in scene.runs.pods("held-1") if pod["metadata"]["labels"]["apprun.dev/role"] == "driver"]
    text = scene.kubectl("logs", pod["metadata"]["name"])
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(line["run"] == "held-1" and line["role"] == "driver" for line in lines)
    (own,) = [line for line in lines if line["source"] == "app"]
    assert (own["logger"], own["message"]) == ("held", "asking for a node")


def test_the_operators_lines_are_of_the_same_kind(scene: Scene) -> None:
    text = scene.bed.run(scene.bed.kubectl, "-n", SYSTEM_NAMESPACE, "logs", operator_pods(scene.bed)[0]).stdout
    assert {"time", "level", "logger", "source", "message"} <= json.loads(text.splitlines()[0]).keys()


def test_a_table_says_where_runs_stand_and_why(scene: Scene) -> None:
    table = {line.split()[0]: line for line in scene.kubectl("get", "ar", "--no-headers").splitlines()}
    assert "Succeeded" in table["watched-1"]
    assert table["missing-1"].split()[2:4] == ["Stalled", "LoadFailed"]
    assert table["loud-1"].split()[2:4] == ["Failed", "TaskFailedError"]
    calls = scene.kubectl("get", "at", "-l", "apprun.dev/run=loud-1,apprun.dev/role=task", "--no-headers")
    assert calls.split()[1:6] == ["loud-1", "loud", "Failed", "1", "NonRetryableError"]
    wide = {line.split()[0]: line for line in scene.kubectl("get", "ar", "-o", "wide", "--no-headers").splitlines()}
    assert "loud failure" in wide["loud-1"]
    tasks = scene.kubectl("get", "at", "-l", "apprun.dev/run=held-1", "-o", "wide")
    assert "Unschedulable" in tasks


def test_events_are_few_and_say_what_went_wrong(scene: Scene) -> None:
    events = scene.bed.kube.items(f"/apis/events.k8s.io/v1/namespaces/{scene.runs.namespace}/events")
    ours = [(e["regarding"]["name"], e["reason"]) for e in events if e["reportingController"] == "apprun.dev/operator"]
    assert sorted({name for name, _ in ours}) == ["hungry-1", "loud-1", "loud-2", "missing-1"]
    assert len(ours) == len(set(ours)) == 4
    assert "Events:" in scene.kubectl("describe", "apprun", "loud-1")
