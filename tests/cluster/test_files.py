"""Files between tasks on a real cluster: a real S3 server, two nodes, and what goes wrong on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.bed import EXISTING, Bed
from tests.support.faulty import FaultyProxy
from tests.support.kube import CORE, Object, eventually
from tests.support.runs import Runs, source
from tests.support.s3 import BUCKET, SECRET_KEY, S3Server

pytestmark = pytest.mark.skipif(
    EXISTING, reason="the store is on this machine, where an existing cluster has no way to"
)

MIB = 1024 * 1024


@pytest.fixture
def files(runs: Runs) -> Runs:
    """The namespace with the code of the app, and no App yet."""
    runs.upload("files")
    return runs


def secret(runs: Runs, name: str = "store", **values: str) -> None:
    runs.kube.create(f"{runs.core}/secrets", {"metadata": {"name": name}, "stringData": values})


def storage(runs: Runs, s3: S3Server, endpoint: str | None = None, name: str = "store") -> Object:
    url = f"s3://{BUCKET}/{runs.namespace}"
    return {"url": url, "options": s3.options(endpoint), "secretRef": {"name": name}}


def app(runs: Runs, name: str, entry: str = "app:Files", **spec: Any) -> None:
    runs.app(name, entry, source=source("files"), **spec)


def succeeded(runs: Runs, run: str) -> Object:
    status = runs.until_phase(run, "Succeeded", "Failed", "Stalled", seconds=240)
    assert status["phase"] == "Succeeded", json.dumps([status, runs.tasks(run)], indent=1)
    output: Object = status["output"]
    return output


def failed(runs: Runs, run: str) -> str:
    status = runs.until_phase(run, "Succeeded", "Failed", "Stalled", seconds=240)
    assert status["phase"] == "Failed"
    return str(status["error"])


def attempts(runs: Runs, run: str) -> dict[str, int]:
    return {task["spec"]["task"]: task["status"].get("attempt", 1) for task in runs.tasks(run)}


def test_files_go_from_node_to_node_and_go_with_the_run(files: Runs, s3: S3Server) -> None:
    secret(files, **s3.secrets())
    app(files, "pipe", storage=storage(files, s3))
    files.start("large", "pipe", {"size": 20 * MIB})
    files.start("small", "pipe", {"size": 500, "small": 200, "keep": True})
    large, small = succeeded(files, "large"), succeeded(files, "small")
    assert large["nodes"] == small["nodes"] == ["node1", "node2"]
    assert (large["size"], small["files"]) == (20 * MIB, 200)
    assert attempts(files, "large") == {"make": 1, "check": 1, "apprun.cleanup": 1}
    left = s3.objects(files.namespace)
    assert len(left) == 201, "what the output of `small` refers to, and nothing of `large`"
    assert all(files.get("small")["metadata"]["uid"] in key for key in left)
    everything = json.dumps(
        [files.get(run) for run in ("large", "small")] + files.tasks("large") + files.tasks("small")
    )
    assert SECRET_KEY not in everything


def test_a_pod_lost_in_an_upload_leaves_one_object(files: Runs, s3: S3Server, proxy: FaultyProxy) -> None:
    secret(files, **s3.secrets())
    app(files, "pipe", storage=storage(files, s3, proxy.endpoint))
    proxy.set(bytes_per_second=2 * MIB)
    files.start("killed", "pipe", {"size": 64 * MIB, "keep": True})
    eventually("the upload is under way", lambda: proxy.passed > 4 * MIB, 120)
    (pod,) = [pod for pod in files.pods("killed") if pod["metadata"]["labels"]["apprun.dev/role"] == "task"]
    files.kube.delete(f"{files.core}/pods/{pod['metadata']['name']}", gracePeriodSeconds=0)
    eventually("the pod is gone", lambda: files.kube.find(f"{files.core}/pods/{pod['metadata']['name']}") is None, 60)
    proxy.set(bytes_per_second=0)
    assert succeeded(files, "killed")["size"] == 64 * MIB
    assert attempts(files, "killed")["make"] == 2
    assert list(s3.objects(files.namespace).values()) == [64 * MIB]


def test_an_unreliable_store_costs_no_attempt(files: Runs, s3: S3Server, proxy: FaultyProxy) -> None:
    secret(files, **s3.secrets())
    app(files, "pipe", storage=storage(files, s3, proxy.endpoint))
    proxy.set(refusals=4, cuts=3, cut_after=3 * MIB)
    files.start("refused", "pipe", {"size": 40 * MIB})
    assert succeeded(files, "refused")["size"] == 40 * MIB
    assert attempts(files, "refused") == {"make": 1, "check": 1, "apprun.cleanup": 1}
    assert (proxy.refused, proxy.cut > 0) == (4, True)


def test_errors_of_stores_name_their_cause(files: Runs, s3: S3Server) -> None:
    secret(files, "wrong", access_key_id="test-access", secret_access_key="canary-wrong-secret")
    secret(files, **s3.secrets())
    app(files, "locked-out", storage=storage(files, s3, name="wrong"))
    app(files, "homeless")
    app(files, "reader", "app:Handed", storage=storage(files, s3))
    files.start("locked-out", "locked-out")
    files.start("homeless", "homeless")
    foreign = {"is_durable": True, "sha256": "0" * 64, "storage_path": f"transient/{files.namespace}/x/y/{'0' * 64}"}
    files.start("private", "reader", {"file": foreign})
    files.start("elsewhere", "reader", {"file": {**foreign, "storage_path": f"retained/other/u/{'0' * 64}"}})
    files.start("upwards", "reader", {"file": {**foreign, "storage_path": "../../etc/passwd"}})
    files.start("gone", "reader", {"file": {**foreign, "storage_path": f"retained/{files.namespace}/u/{'0' * 64}"}})
    told = failed(files, "locked-out")
    assert "StoreRefusedError" in told
    assert "canary-wrong-secret" not in told
    assert "set spec.storage of the App" in failed(files, "homeless")
    assert "transient file of another run" in failed(files, "private")
    assert "belongs to namespace 'other'" in failed(files, "elsewhere")
    assert "UnsafeReferenceError" in failed(files, "upwards")
    assert "ObjectMissingError" in failed(files, "gone")
    assert all(attempts(files, run) == {"check": 1} for run in ("private", "elsewhere", "upwards", "gone"))


def test_missing_secret_of_the_store_is_told_before_a_pod_starts(files: Runs, s3: S3Server) -> None:
    app(files, "pipe", storage=storage(files, s3))
    files.start("early", "pipe", {"size": 1000})

    def said() -> str:
        return " ".join(task["status"].get("message", "") for task in files.tasks("early"))

    assert "spec.storage.secretRef" in eventually("it is told", lambda: said() or None, 120)
    secret(files, **s3.secrets())
    assert succeeded(files, "early")["size"] == 1000


def test_namespace_has_a_store_for_apps_that_name_none(files: Runs, s3: S3Server) -> None:
    options = json.dumps(s3.options())
    data = {"APPRUN_STORE_URL": f"s3://{BUCKET}/{files.namespace}", "APPRUN_STORE_OPTIONS": options}
    files.kube.create(f"{files.core}/configmaps", {"metadata": {"name": "apprun-store"}, "data": data})
    keys = {f"AWS_{name.upper()}": value for name, value in s3.secrets().items()}
    secret(files, "apprun-store", **keys)
    app(files, "pipe")
    files.start("shared", "pipe", {"size": 1000, "keep": True})
    assert succeeded(files, "shared")["nodes"] == ["node1", "node2"]
    assert list(s3.objects(files.namespace).values()) == [1000]


def test_volume_that_both_nodes_see_is_a_store(bed: Bed, files: Runs, tmp_path: Path) -> None:
    shared = Path("/srv") / f"apprun-{files.namespace}"
    shared.mkdir(parents=True)
    shared.chmod(0o777)
    volume = f"files-{files.namespace}"
    size: Object = {"storage": "1Gi"}
    bed.kube.create(
        f"{CORE}/persistentvolumes",
        {
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": str(shared)},
                "claimRef": {"namespace": files.namespace, "name": "shared"},
            },
        },
    )
    claim = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": volume}
    files.kube.create(
        f"{files.core}/persistentvolumeclaims",
        {"metadata": {"name": "shared"}, "spec": {**claim, "resources": {"requests": size}}},
    )
    try:
        app(files, "pipe", storage={"url": "file:///team", "volumeClaim": {"name": "shared"}})
        files.start("on-volume", "pipe", {"size": 20 * MIB, "keep": True})
        assert succeeded(files, "on-volume")["nodes"] == ["node1", "node2"]
        stored = [place for place in shared.rglob("*") if place.is_file()]
        assert [place.stat().st_size for place in stored] == [20 * MIB]
        assert stored[0].is_relative_to(shared / "team")
    finally:
        bed.kube.delete(f"{CORE}/persistentvolumes/{volume}")
        _remove(shared)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
