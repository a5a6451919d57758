"""Backups on a real cluster: a namespace is deleted and brought back; a run without its status is held."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.bed import Bed
from tests.support.kube import APPRUN, CORE, Kube, Object, eventually
from tests.support.people import RBAC, person
from tests.support.runs import Runs
from tests.support.terminal import Terminal

from application_sdk.wire import names

pytestmark = pytest.mark.cluster

FILE = "backup.json.gz"
TIMERS = 260


@pytest.fixture
def apprun(bed: Bed, namespace: str, tmp_path: Path) -> Terminal:
    """A cluster admin whose context has the test's namespace."""
    config = yaml.safe_load(bed.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return Terminal(tmp_path, kubeconfig, namespace, (Path(bed.kubectl).parent,))


@pytest.fixture
def elsewhere(kube: Kube, namespace: str) -> Iterator[Runs]:
    """A second namespace."""
    name = f"{namespace}-b"
    kube.create(f"{CORE}/namespaces", {"metadata": {"name": name}})
    yield Runs(kube, name)
    kube.delete(f"{CORE}/namespaces/{name}")


def without_status(found: Object) -> Object:
    """What a backup tool such as Velero restores of an object."""
    metadata = {
        part: found["metadata"][part] for part in ("name", "labels", "annotations") if part in found["metadata"]
    }
    return {**{part: found[part] for part in ("apiVersion", "kind", "spec")}, "metadata": metadata}


def recreate(runs: Runs) -> None:
    """The namespace goes and comes back, with the account that the probe's tasks need, which no export holds."""
    kube, path = runs.kube, f"{CORE}/namespaces/{runs.namespace}"
    rbac = f"{RBAC}/namespaces/{runs.namespace}"
    kept = [
        (f"{rbac}/roles", kube.get(f"{rbac}/roles/probe")),
        (f"{rbac}/rolebindings", kube.get(f"{rbac}/rolebindings/probe")),
    ]
    namespace = kube.get(path)
    kube.delete(path)
    eventually("the namespace is gone", lambda: kube.find(path) is None or None, 180)
    labels = {k: v for k, v in namespace["metadata"]["labels"].items() if not k.startswith("kubernetes.io/")}
    kube.create(f"{CORE}/namespaces", {"metadata": {"name": runs.namespace, "labels": labels}})
    kube.create(f"{runs.core}/serviceaccounts", {"metadata": {"name": "probe"}})
    for collection, found in kept:
        kube.create(collection, {**found, "metadata": {"name": "probe"}})


def committed(saved: dict[str, Any]) -> list[str]:
    """Keys of a saved run's ledger."""
    pages = [entry["key"] for page in saved["pages"] for entry in page["spec"]["checkpoints"]]
    return pages + [entry["key"] for entry in saved["run"]["status"].get("checkpoints", [])]


def test_a_namespace_that_was_deleted_comes_back_with_its_runs(runs: Runs, apprun: Terminal, bed: Bed) -> None:
    runs.upload("paged")
    runs.app("paged", "app:Paged")
    runs.start("long", "paged")
    runs.start("done", "probe", {"before": 1, "width": 2})
    output = runs.until_phase("done", "Succeeded")["output"]
    runs.until_committed("long", 1 + TIMERS, 240)
    runs.until_no_pods("done")  # else the quota would have room for one more once they are gone
    # One task at a time beside the drivers: of four side by side some wait, even if the quota's count is late by one.
    pods = len(runs.kube.items(f"{runs.core}/pods"))
    quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": str(pods + 2)}}}
    runs.kube.create(f"{runs.core}/resourcequotas", quota)
    runs.start("half", "probe", {"before": 2, "width": 4, "after": 1, "seconds": 20})
    eventually("a task of half waits", lambda: waiting(runs) or None, 120)

    apprun("export", "--full", "--all", "--to", FILE)
    backup = json.loads(gzip.decompress((apprun.folder / FILE).read_bytes()))
    saved = {entry["run"]["metadata"]["name"]: entry for entry in backup["runs"]}
    assert sorted(saved) == ["done", "half", "long"]
    assert len(saved["long"]["pages"]) >= 1
    assert len(committed(saved["half"])) >= 2
    old = runs.get("half")["metadata"]["uid"]

    recreate(runs)
    assert "done  restored" in apprun("import", FILE).out
    assert runs.until_phase("done", "Succeeded")["output"] == output
    half = runs.until_phase("half", "Succeeded", seconds=240)
    assert half["output"]["names"] == ["before-0", "before-1", *(f"wide-{n}" for n in range(4)), "after-0"]
    assert runs.get("half")["metadata"]["uid"] != old
    before, after = committed(saved["half"]), [entry["key"] for entry in runs.checkpoints("half")]
    assert after[: len(before)] == before
    # Witnesses went with the namespace: what is there was done after the import.
    assert dict(runs.witnesses()) == dict.fromkeys(after[len(before) :], 1)
    assert runs.status("long")["phase"] == "Running"
    assert [entry["key"] for entry in runs.checkpoints("long")] == committed(saved["long"])
    assert "restored" in runs.kube.get(f"{runs.api}/appledgers/long-0")["metadata"]["annotations"].popitem()[0]
    assert "half  there already" in apprun("import", FILE).out
    shown = apprun("show", "half", "-o", "json").json
    assert shown["correlationId"] == old


def waiting(runs: Runs) -> list[Object]:
    return [task for task in runs.tasks("half") if task.get("status", {}).get("phase") == "Waiting"]


def test_a_run_restored_without_its_status_is_held(runs: Runs, elsewhere: Runs, apprun: Terminal, bed: Bed) -> None:
    runs.start("hello", "probe", {"before": 1, "width": 0, "after": 0})
    runs.until_phase("hello", "Succeeded")
    run = runs.get("hello")
    assert run["metadata"]["annotations"][names.BEGAN_AS_ANNOTATION] == run["metadata"]["uid"]
    apprun("export", "--full", "hello", "--to", FILE)
    elsewhere.upload("probe")
    elsewhere.app("probe", "app:Probe")
    elsewhere.until_inspected("probe")

    elsewhere.kube.create(f"{elsewhere.api}/appruns", without_status(run))
    status = elsewhere.until_phase("hello", "Stalled", "Succeeded", "Running", seconds=60)
    assert (status["phase"], elsewhere.condition("hello", "Stalled")["reason"]) == ("Stalled", "Restored")  # type: ignore[index]
    assert not elsewhere.tasks("hello", "driver")
    described = apprun("describe", "hello", "-n", elsewhere.namespace).out
    assert "apprun import" in described
    assert "began-as-" in described

    editor = person(apprun, bed, "editor", "edit")
    refused = editor("import", FILE, "-n", runs.namespace, code=11)
    assert "restore appruns" in refused.err
    assert "--clusterrole=apprun-restore" in refused.err

    apprun("import", FILE, "-n", elsewhere.namespace)
    assert elsewhere.until_phase("hello", "Succeeded")["output"] == run["status"]["output"]
    assert not elsewhere.witnesses()


def test_who_may_restore_is_who_has_the_role(runs: Runs, elsewhere: Runs, apprun: Terminal, bed: Bed) -> None:
    runs.start("hello", "probe", {"before": 1, "width": 0, "after": 0})
    runs.until_phase("hello", "Succeeded")
    apprun("export", "--full", "hello", "--to", FILE)
    there = Terminal(apprun.folder, apprun.kubeconfig, elsewhere.namespace, apprun.path)
    restorer = person(there, bed, "restorer", "apprun-restore")
    assert "hello  restored" in restorer("import", FILE, "-n", elsewhere.namespace).out
    assert elsewhere.status("hello")["phase"] == "Succeeded"
    # Once there is a past, nobody rewrites it, not even a cluster admin.
    forged = {"status": {"message": "forged", "restoredFrom": elsewhere.status("hello")["restoredFrom"]}}
    task = elsewhere.tasks("hello")[0]["metadata"]["name"]
    for path, words in (
        (f"{APPRUN}/namespaces/{elsewhere.namespace}/appruns/hello/status", "written by the operator only"),
        (f"{APPRUN}/namespaces/{elsewhere.namespace}/apptasks/{task}/status", "apprun: not a pod of this namespace"),
    ):
        with pytest.raises(Exception, match=words):
            elsewhere.kube.merge(path, forged)
    assert "is there still" in apprun("import", FILE, code=5).err
