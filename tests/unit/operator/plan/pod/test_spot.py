"""Pods on nodes that the cloud may take back, and Kueue's queues."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import APP, LIMITS, a_driver, a_run, a_task, meta, seen
from tests.unit.operator.plan.pod.test_default_pods import REUSE

from apprun_operator.observe.workers import WorkerRecord
from apprun_operator.plan.limits import SpotNodes
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pool import worker_pods
from apprun_operator.plan.pool.shape import shape_of

TOLERATION: Any = {"key": "spot", "operator": "Exists"}
SPOT = replace(LIMITS, spot=SpotNodes({"node": "spot"}, (TOLERATION,)))
RETRY = {"retry": {"maxAttempts": 3}}


def pod(task: Any, **app: Any) -> dict[str, Any]:
    return dict(pods.pod(a_run(app={**APP, **app}), task, SPOT).body)


def on_spot(made: dict[str, Any]) -> bool:
    spec = made["spec"]
    selected = spec.get("nodeSelector", {}).get("node") == "spot"
    assert selected == (TOLERATION in spec["tolerations"])
    return selected


def ended(*budgets: str) -> Any:
    return tuple({"attempt": number, "reason": "x", "budget": budget} for number, budget in enumerate(budgets, 1))


@pytest.mark.parametrize(
    ("budgets", "spot"),
    [
        ((), True),
        (("Disruption",), True),
        (("Disruption", "Disruption"), False),
        (("App",), True),
        (("App", "App"), False),
        (("App", "None", "None"), True),
    ],
)
def test_spot_is_left_when_a_loss_would_cost_too_much(budgets: tuple[str, ...], spot: bool) -> None:
    task = a_task("a", pod={"spot": True}, attempts=ended(*budgets), attempt=len(budgets) + 1, policy=RETRY)
    assert on_spot(pod(task)) is spot


def test_only_attempt_may_run_on_spot() -> None:
    assert on_spot(pod(a_task("a", pod={"spot": True}, policy={"retry": {"maxAttempts": 1}})))


def test_spot_is_added_to_the_place_that_a_task_names() -> None:
    own = {"spot": True, "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "own"}]}
    spec = pod(a_task("a", pod=own))["spec"]
    assert spec["nodeSelector"] == {"node": "spot", "disk": "ssd"}
    assert spec["tolerations"][2:] == [{"key": "own"}, TOLERATION]


def test_task_leaves_the_spot_nodes_of_its_app() -> None:
    assert on_spot(pod(a_task("a"), pod={"spot": True}))
    assert not on_spot(pod(a_task("a", pod={"spot": False}), pod={"spot": True}))


def test_driver_is_on_spot_only_if_it_asks_itself() -> None:
    assert not on_spot(pod(a_driver(), pod={"spot": True}))
    assert on_spot(pod(a_driver(), driver={"spot": True}))


def test_warm_pods_stay_on_spot() -> None:
    shape = shape_of(seen(run=a_run(app=APP, app_ref="")), a_task("a", pod={"spot": True}), REUSE)
    assert on_spot(dict(worker_pods.pod(WorkerRecord(meta("pool-0"), "pool", "App", 0), shape, SPOT).body))


def test_queue_is_kueues_label_of_tasks() -> None:
    app = {"queue": "team-a", "labels": {"kueue.x-k8s.io/queue-name": "other"}}
    assert pod(a_task("a"), pod=app)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    queued = pod(a_driver(), pod={"queue": "team-a"})["metadata"]["labels"]
    assert "kueue.x-k8s.io/queue-name" not in queued
