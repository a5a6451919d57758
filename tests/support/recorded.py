"""Runs as a version of AppRun left them in the API server, in the middle of their work: put back for later versions.

A released version's recording is never made again. To record: `provide` the app, start a run of it, wait until tasks
work side by side, scale the operator to nothing, wait until some have reported, call `record`.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from tests.cluster.apiserver import Client
from tests.support.kube import Object
from tests.support.runs import Runs

GOLDEN = Path(__file__).resolve().parents[1] / "cluster" / "golden"
KEPT = ("name", "labels", "annotations")


def provide(runs: Runs) -> None:
    """The app of the recordings."""
    apps = GOLDEN.parent / "apps"
    files = {"app.py": (GOLDEN / "app.py").read_text(), "probe.py": (apps / "probe.py").read_text()}
    runs.kube.create(f"{runs.core}/configmaps", {"metadata": {"name": "golden"}, "data": files})
    runs.app("golden", "app:Recorded", serviceAccountName="probe")


def record(runs: Runs, run: str, file: Path) -> None:
    """Write the run and its tasks to a file."""
    objects = [runs.get(run), *runs.tasks(run, "driver"), *runs.tasks(run)]
    for each in objects:
        each["metadata"] = {key: value for key, value in each["metadata"].items() if key in KEPT}
    file.write_text(yaml.safe_dump_all(objects, sort_keys=False))


def restore(runs: Runs, as_operator: Client, file: Path) -> list[Object]:
    """Put all of it back as it was, but for uids, while no operator is there; what the API server holds then."""
    run, *tasks = yaml.safe_load_all(file.read_text())
    created = [_create(runs, as_operator, "appruns", run)]
    owner = {"apiVersion": run["apiVersion"], "kind": "AppRun", "controller": True, "name": run["metadata"]["name"]}
    for task in tasks:
        task["metadata"]["ownerReferences"] = [{**owner, "uid": created[0]["metadata"]["uid"]}]
        created.append(_create(runs, as_operator, "apptasks", task))
    return created


def _create(runs: Runs, as_operator: Client, plural: str, body: Object) -> Object:
    created = as_operator.create(f"{runs.api}/{plural}", body)
    assert created.allowed, created.message
    path = f"{runs.api}/{plural}/{body['metadata']['name']}/status"
    answer = as_operator.patch(path, {"status": body["status"]})
    assert answer.allowed, answer.message
    return answer.body
