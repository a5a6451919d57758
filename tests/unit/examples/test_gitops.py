"""The GitOps example holds together: health checks for all kinds, and scripts and files that are named exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.argo import Health, checks, health
from tests.support.example import EXAMPLES, example

from apprun_operator.api.crds import KINDS

GITOPS = EXAMPLES / "gitops"


def run(phase: str | None, generation: int = 1, observed: int = 1, message: str = "so it is") -> dict[str, Any]:
    status = {"observedGeneration": observed, **({"phase": phase, "message": message} if phase else {})}
    return {"kind": "AppRun", "metadata": {"name": "r", "generation": generation}, "status": status}


def task(phase: str) -> dict[str, Any]:
    return {"kind": "AppTask", "metadata": {"name": "t"}, "status": {"phase": phase}}


def test_argo_cd_has_a_check_for_each_kind() -> None:
    assert checks().keys() == {kind.name for kind in KINDS}


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("Pending", "Progressing"),
        ("Running", "Progressing"),
        ("Cancelling", "Progressing"),
        ("Suspended", "Suspended"),
        ("Stalled", "Degraded"),
        ("Failed", "Degraded"),
        ("Cancelled", "Degraded"),
        ("Succeeded", "Healthy"),
    ],
)
def test_argo_cd_judges_a_run_by_its_phase_and_shows_its_message(phase: str, status: str) -> None:
    assert health(run(phase)) == Health(status, "so it is")


def test_argo_cd_waits_for_the_observed_generation() -> None:
    assert health(run(None, observed=-1)).status == "Progressing"
    assert health(run("Succeeded", generation=3, observed=2)).status == "Progressing"
    assert health({"kind": "AppRun", "metadata": {"name": "r", "generation": 1}}).status == "Progressing"


@pytest.mark.parametrize(
    ("phase", "status"),
    [("Active", "Progressing"), ("Waiting", "Progressing"), ("Succeeded", "Healthy"), ("Failed", "Degraded"),
     ("Cancelled", "Suspended")],
)  # fmt: skip
def test_argo_cd_judges_a_task_by_its_phase(phase: str, status: str) -> None:
    assert health(task(phase)).status == status


def test_what_has_no_end_is_healthy() -> None:
    for kind in ("AppLedger", "AppState"):
        assert health({"kind": kind, "metadata": {"name": "x"}, "spec": {}}).status == "Healthy"


@pytest.mark.parametrize(
    ("ready", "stalled", "observed", "status"),
    [
        ("True", "False", 1, "Healthy"),
        ("False", "False", 1, "Progressing"),
        ("False", "True", 1, "Degraded"),
        ("True", "False", -1, "Progressing"),
    ],
)
def test_argo_cd_judges_an_app_by_its_conditions(ready: str, stalled: str, observed: int, status: str) -> None:
    truths = {"Ready": ready, "Stalled": stalled}
    conditions = [{"type": kind, "status": truth, "message": "so it is"} for kind, truth in truths.items()]
    told = {"observedGeneration": observed, "conditions": conditions}
    app = {"kind": "App", "metadata": {"name": "a", "generation": 1}, "status": told}
    assert health(app).status == status
    assert observed < 1 or health(app).message == "so it is"


def test_the_app_takes_the_runs_input() -> None:
    with example("gitops/base", "app") as modules:
        entry = modules["app"].DailyOrders.definition.entrypoint(None)
        for file in ("overlays/production/run/run.yaml", "ci/run.yaml"):
            entry.input_type.model_validate(yaml.safe_load((GITOPS / file).read_text())["spec"]["input"])


def test_old_code_and_earlier_runs_are_pruned_by_nobody() -> None:
    (generator,) = yaml.safe_load((GITOPS / "base/kustomization.yaml").read_text())["configMapGenerator"]
    started = yaml.safe_load((GITOPS / "overlays/production/run/run.yaml").read_text())["metadata"]
    for found in (generator["options"]["annotations"], started["annotations"]):
        assert found == {
            "kustomize.toolkit.fluxcd.io/prune": "disabled",
            "argocd.argoproj.io/sync-options": "Prune=false",
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
        }


def test_the_pipeline_calls_scripts_that_are_there() -> None:
    jobs = yaml.safe_load((GITOPS / "ci/github.yaml").read_text())["jobs"]
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    scripts = set(re.findall(r"ci/[\w-]+\.sh", commands))
    assert scripts == {"ci/run.sh", "ci/release.sh"}
    for script in {*scripts, "ci/clean-up.sh"}:
        assert (GITOPS / script).stat().st_mode & 0o111
    assert (GITOPS / "base/app.py").exists()


@pytest.mark.parametrize("revision", ["abc1234", "0123456", "1e10000"])
def test_release_writes_the_revision_as_text_and_nothing_else(tmp_path: Path, revision: str) -> None:
    shutil.copytree(GITOPS, tmp_path / "r")
    subprocess.run([tmp_path / "r/ci/release.sh", revision], check=True, timeout=10)
    file = Path("overlays/production/run/kustomization.yaml")
    before, after = (yaml.safe_load((root / file).read_text()) for root in (GITOPS, tmp_path / "r"))
    assert after["nameSuffix"] == f"-{revision}"
    assert after["labels"][0]["pairs"] == {"orders.example.com/revision": revision}
    assert {**after, "nameSuffix": "", "labels": ""} == {**before, "nameSuffix": "", "labels": ""}


@pytest.mark.parametrize("wrong", ["Main", "a/b", "x|y", "a" * 30, "-a"])
def test_release_refuses_what_can_not_end_a_name(wrong: str) -> None:
    done = subprocess.run([GITOPS / "ci/release.sh", wrong], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert "can't be the end of a name" in done.stderr
