"""Pods of apps that shape them with the oldest pod fields or none stay as they are, byte for byte.

`default_pods.json` was recorded before further fields existed. A change of it changes the start of every pod, and
renews every pool of warm pods.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.records import APP, LIMITS, a_driver, a_run, a_task, meta, seen

from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.workers import WorkerRecord
from apprun_operator.plan.app import handler
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pool import worker_pods
from apprun_operator.plan.pool.shape import shape_of

RECORDED = Path(__file__).parent / "default_pods.json"
REUSE: Any = {"replicas": {"min": 0, "max": 2}, "idleTtl": 60, "scaledownTtl": 60, "concurrency": 1, "mode": "process"}
PLACE: dict[str, Any] = {
    "cpu": 1,
    "memory": "1Gi",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "priorityClassName": "batch",
}
FULL = {
    **APP,
    "pod": PLACE,
    "source": {"configMap": {"name": "code"}},
    "imagePullPolicy": "Always",
    "storage": {"url": "file:///a", "volumeClaim": {"name": "files"}, "secretRef": {"name": "keys"}},
    "secrets": [{"name": "db", "driver": True}, {"name": "api"}],
}


def warm(app: dict[str, Any], task: Any) -> dict[str, Any]:
    run = a_run(app=app, app_ref="")
    shape = shape_of(seen(run=run), task, REUSE)
    worker = WorkerRecord(meta(f"{shape.pool}-0"), shape.pool, "App", 0)
    return {"pool": shape.pool, "pod": worker_pods.pod(worker, shape, LIMITS).body}


def all_pods() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, app in (("plain", APP), ("full", FULL)):
        run = a_run(app=app)
        own = a_task("b", pod={"memory": "2Gi", "nodeSelector": {"gpu": "yes"}, "image": "own:2"})
        inspection = a_task("c", role="inspect", task="inspect")
        for title, task in (("task", a_task("a")), ("own", own), ("driver", a_driver()), ("inspection", inspection)):
            made[f"{name} {title}"] = pods.pod(run, task, LIMITS).body
        made[f"{name} warm"] = warm(app, own)
        record = AppRecord(meta("app"), None, handler={"cpu": "100m"})
        made[f"{name} handler"] = handler.deployment(record, app, LIMITS)
    return made


PODS = all_pods()
EXPECTED: dict[str, str] = json.loads(RECORDED.read_text())


def test_every_recorded_pod_is_still_made() -> None:
    assert PODS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_what_it_was(name: str) -> None:
    assert json.dumps(PODS[name], indent=1) == json.dumps(EXPECTED[name], indent=1)
