"""What GitOps tools make of a run at each moment, from its creation to its end.

kstatus is the real library, Argo CD's Lua runs in a real interpreter, objects come from the API server as it sent them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import urllib3
from tests.support.argo import health
from tests.support.kstatus import statuses
from tests.support.kube import Object, eventually
from tests.support.runs import Runs, source

ENDED = ("Succeeded", "Failed", "Cancelled", "Stalled")


@pytest.fixture
def judged(runs: Runs) -> Runs:
    runs.upload("judged")
    runs.app("judged", "app:Judged", source=source("judged"))
    return runs


@contextmanager
def history(runs: Runs) -> Iterator[list[Object]]:
    """Every version of every AppRun of the namespace, from now on, as a GitOps tool's watch sees them."""
    seen: list[Object] = []
    version = runs.kube.get(f"{runs.api}/appruns")["metadata"]["resourceVersion"]

    def follow() -> None:
        # It may outlive the cluster, when this is the session's last test.
        with suppress(urllib3.exceptions.HTTPError):
            for event in runs.kube.watch(f"{runs.api}/appruns", f"&resourceVersion={version}", seconds=200):
                if event["type"] in ("ADDED", "MODIFIED"):
                    seen.append(event["object"])

    threading.Thread(target=follow, daemon=True).start()
    yield seen


def told(seen: list[Object], run: str) -> tuple[list[str], list[str]]:
    """What kstatus and Argo CD said of a run, one after the other, repetitions left out."""
    versions = [item for item in seen if item["metadata"]["name"] == run]
    return distinct(statuses(versions)), distinct([health(item).status for item in versions])


def distinct(words: list[str]) -> list[str]:
    return [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]


def test_tools_judge_a_run_rightly_from_its_creation_to_its_end(judged: Runs) -> None:
    with history(judged) as seen:
        judged.start("well", "judged", {"end": "well"})
        judged.start("badly", "judged", {"end": "badly"})
        judged.start("typo", "judged", {"ennd": "well"})
        judged.start("stopped", "judged", {"seconds": 100})
        judged.start("paused", "judged", {}, suspend=True)
        judged.until_phase("paused", "Suspended")
        judged.kube.merge(f"{judged.api}/appruns/paused", {"spec": {"suspend": False}})
        judged.until_phase("stopped", "Running")
        judged.kube.merge(f"{judged.api}/appruns/stopped", {"spec": {"cancel": True}})
        for run in ("well", "badly", "typo", "stopped", "paused"):
            judged.until_phase(run, *ENDED)
        eventually("the watch has caught up", lambda: all(last(seen, run) for run in ("well", "badly")) or None, 30)
    assert told(seen, "well") == (["InProgress", "Current"], ["Progressing", "Healthy"])
    assert told(seen, "badly") == (["InProgress", "Failed"], ["Progressing", "Degraded"])
    assert told(seen, "typo") == (["InProgress", "Failed"], ["Progressing", "Degraded"])
    assert told(seen, "stopped") == (["InProgress", "Failed"], ["Progressing", "Degraded"])
    flux, argo = told(seen, "paused")
    assert flux == ["InProgress", "Current"]
    assert argo == ["Progressing", "Suspended", "Progressing", "Healthy"]
    # A corrected run is in progress again, at once.
    spec = {"input": {"ennd": None, "end": "well"}}
    corrected = judged.kube.merge(f"{judged.api}/appruns/typo", {"spec": spec})
    assert statuses([corrected]) == ["InProgress"]
    assert health(corrected).status == "Progressing"
    assert judged.until_phase("typo", "Succeeded", "Failed")["phase"] == "Succeeded"
    # The other kinds never hold a tool up when the run has ended well.
    others = [judged.kube.get(f"{judged.api}/apps/judged"), *judged.tasks("well"), *judged.tasks("well", "driver")]
    for item, kind in zip(others, ("App", "AppTask", "AppTask"), strict=True):
        item["kind"] = kind
        assert health(item).status == "Healthy"
    assert statuses([{**item, "apiVersion": "apprun.dev/v1alpha1"} for item in others]) == ["Current"] * 3


def last(seen: list[Object], run: str) -> bool:
    versions = [item for item in seen if item["metadata"]["name"] == run]
    return bool(versions) and versions[-1]["status"].get("phase") in ENDED
