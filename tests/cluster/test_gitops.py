"""The GitOps example that is shipped, applied as it is: by commit, by a pipeline, with pruning, and for each tool."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bed import ROOT, Bed
from tests.support.kube import CORE, Kube, eventually
from tests.support.runs import Runs
from tests.support.third_party_crds import ARGO_CD, FLUX_KUSTOMIZATIONS, FLUX_RELEASES, FLUX_SOURCES, definitions

GITOPS = ROOT / "examples" / "gitops"
ENDED = ("Succeeded", "Failed", "Cancelled", "Stalled")


class Repository:
    """A copy of the example, changed and applied as its users do."""

    def __init__(self, bed: Bed, folder: Path) -> None:
        self.bed = bed
        self.folder = folder / "repository"
        shutil.copytree(GITOPS, self.folder)

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(self.bed.kubectl).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "KUBECONFIG": str(self.bed.kubeconfig), "PATH": path, "TIMEOUT": "120s"}
        return subprocess.run(
            [self.folder / "ci" / name, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def release(self, revision: str) -> None:
        assert self.script("release.sh", revision).returncode == 0
        self.kubectl("apply", "--server-side", "-k", "overlays/production")

    def differences(self, *options: str) -> str:
        """What `kubectl diff` shows; it fails with 1 when there is any."""
        done = self.kubectl("diff", *options, "-k", "overlays/production", check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def kubectl(self, verb: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        placed = [str(self.folder / part) if (self.folder / part).exists() else part for part in arguments]
        return self.bed.run(self.bed.kubectl, verb, *placed, check=check)


@pytest.fixture
def repository(bed: Bed, tmp_path: Path) -> Iterator[Repository]:
    yield Repository(bed, tmp_path)
    bed.run(bed.kubectl, "delete", "namespace", "orders", "--ignore-not-found", "--wait=false")
    eventually("namespace orders is gone", lambda: bed.kube.find(f"{CORE}/namespaces/orders") is None or None, 90)


def config_maps(orders: Runs) -> set[str]:
    found = orders.kube.items(f"{orders.core}/configmaps?labelSelector=apprun.dev/code")
    return {item["metadata"]["name"] for item in found}


def code_of(orders: Runs, run: str) -> str:
    name: str = orders.status(run)["app"]["source"]["configMap"]["name"]
    return name


def test_a_changed_file_leaves_earlier_runs_their_code(repository: Repository, kube: Kube) -> None:
    orders = Runs(kube, "orders")
    repository.replace("overlays/production/run/run.yaml", "shops: 3", "shops: 3\n    seconds: 6")
    repository.release("aaaaaaa")
    assert repository.differences("--server-side") == ""
    orders.until_phase("orders-aaaaaaa", "Running")
    assert repository.differences("--server-side") == "", "the operator changed what Git says"
    repository.replace("base/app.py", "10 * input.number", "1000 * input.number")
    repository.release("bbbbbbb")
    assert len(config_maps(orders)) == 2
    assert orders.until_phase("orders-bbbbbbb", *ENDED)["output"] == {"counts": [0, 1000, 2000]}
    assert orders.until_phase("orders-aaaaaaa", *ENDED)["output"] == {"counts": [0, 10, 20]}
    # Applied once more, by either kind of apply, nothing happens: the same commit is the same run.
    before = orders.get("orders-bbbbbbb")
    repository.kubectl("apply", "--server-side", "-k", "overlays/production")
    assert repository.differences("--server-side") == ""
    assert orders.get("orders-bbbbbbb")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert repository.differences() == ""
    # What nobody needs any more goes, what is in Git stays.
    code = {run: code_of(orders, run) for run in ("orders-aaaaaaa", "orders-bbbbbbb")}
    assert config_maps(orders) == set(code.values())
    cleaned = repository.script("clean-up.sh", "orders")
    assert cleaned.returncode == 0, cleaned.stderr
    assert kube.find(f"{orders.api}/appruns/orders-aaaaaaa") is None
    assert config_maps(orders) == {code["orders-bbbbbbb"]}
    assert repository.differences("--server-side") == ""


def test_a_pipeline_starts_runs_and_learns_how_they_ended(repository: Repository, kube: Kube) -> None:
    orders = Runs(kube, "orders")
    kube.create(f"{CORE}/namespaces", {"metadata": {"name": "orders"}})
    repository.kubectl("apply", "--server-side", "-n", "orders", "-k", "base")
    first, second = repository.script("run.sh", "orders"), repository.script("run.sh", "orders")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Succeeded" in first.stdout
    assert '{"counts":[0,10]}' in first.stdout
    assert len(kube.items(f"{orders.api}/appruns")) == 2
    repository.replace("ci/run.yaml", "shops: 2", "shops: many")
    failed = repository.script("run.sh", "orders")
    assert failed.returncode == 1
    assert "shops" in failed.stdout


@pytest.mark.parametrize("order", ["code-first", "run-first"])
def test_pruning_in_any_order_leaves_nothing(repository: Repository, kube: Kube, order: str) -> None:
    orders = Runs(kube, "orders")
    repository.replace("overlays/production/run/run.yaml", "shops: 3", "shops: 3\n    seconds: 60")
    repository.release("ccccccc")
    eventually("tasks are at work", lambda: len(orders.pods("orders-ccccccc")) >= 4 or None, 90)
    kinds = ["configmap", "app", "apprun"]
    for kind in kinds if order == "code-first" else reversed(kinds):
        selector = ["-l", "apprun.dev/code"] if kind == "configmap" else ["--all"]
        repository.kubectl("delete", kind, "-n", "orders", *selector)

    def left() -> list[str]:
        paths = (f"{orders.api}/appruns", f"{orders.api}/apptasks", f"{orders.core}/pods")
        return [item["metadata"]["name"] for path in paths for item in kube.items(path)]

    eventually("all that the run made is gone", lambda: not left() or None, 90)


@pytest.fixture(scope="module")
def tools(bed: Bed) -> Iterator[Bed]:
    """The cluster knows the kinds of Flux and Argo CD, and has their namespaces; neither runs there."""
    modules = (FLUX_SOURCES, FLUX_KUSTOMIZATIONS, FLUX_RELEASES, ARGO_CD)
    files = [part for path in definitions(*modules) for part in ("-f", str(path))]
    bed.define(*files)
    names = ("flux-system", "argocd")
    for name in names:
        bed.run(bed.kubectl, "create", "namespace", name)
    yield bed
    bed.run(bed.kubectl, "delete", *files)
    bed.run(bed.kubectl, "delete", "namespace", *names, "--wait=false")


@pytest.mark.parametrize(
    "file",
    ["flux/operator.yaml", "flux/orders.yaml", "flux/apps-only.yaml", "argocd/operator.yaml", "argocd/orders.yaml"],
)
def test_flux_and_argo_cd_take_what_is_shipped(tools: Bed, file: str) -> None:
    tools.run(tools.kubectl, "apply", "--dry-run=server", "--validate=strict", "-f", str(GITOPS / file))


def test_health_checks_are_added_to_argo_cds_own_settings(tools: Bed) -> None:
    own: dict[str, Any] = {"metadata": {"name": "argocd-cm"}, "data": {"url": "https://argocd.example.com"}}
    place = f"{CORE}/namespaces/argocd/configmaps"
    tools.kube.create(place, own)
    health_file = str(GITOPS / "argocd" / "health.yaml")
    tools.run(*(tools.kubectl, "apply", "--server-side", "--field-manager=apprun", "-n", "argocd", "-f", health_file))
    data = tools.kube.get(f"{place}/argocd-cm")["data"]
    assert data["url"] == "https://argocd.example.com"
    assert "resource.customizations.health.apprun.dev_AppRun" in data
