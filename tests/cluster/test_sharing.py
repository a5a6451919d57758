"""Places for task pods when there are fewer than the runs want: fair between runs, and told by those that wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.bed import Bed
from tests.support.kube import Object, eventually
from tests.support.runs import Runs

pytestmark = pytest.mark.exclusive

PLACES = 4


@pytest.fixture(scope="module")
def limited(bed: Bed) -> Iterator[None]:
    bed.install(f"maxPods={PLACES}")
    yield
    bed.install()


def task_pods(runs: Runs, run: str) -> list[Object]:
    return [pod for pod in runs.pods(run) if pod["metadata"]["labels"]["apprun.dev/role"] == "task"]


@pytest.mark.usefixtures("limited")
def test_large_run_leaves_places_to_a_small_one_that_comes_later(runs: Runs) -> None:
    runs.start("large", "probe", {"before": 0, "width": 60, "after": 0, "seconds": 3}, parallelism=60)
    eventually("the large run has all places", lambda: len(task_pods(runs, "large")) == PLACES or None)
    runs.start("small", "probe", {"before": 1, "width": 2, "after": 1, "seconds": 3})
    small = runs.until_phase("small", "Succeeded", "Failed")
    assert small["phase"] == "Succeeded"
    large = runs.status("large")
    assert large["phase"] == "Running", "the small one waited for the large one's end"
    assert large["tasks"]["queued"] > 0
    assert f"allows {PLACES} task pods at a time" in large["message"]
    assert runs.until_phase("large", "Succeeded", "Failed", seconds=240)["phase"] == "Succeeded"
    assert runs.status("large")["message"] == ""
    assert runs.status("large")["tasks"]["queued"] == 0


def test_run_says_that_its_calls_wait_for_its_own_parallelism(runs: Runs) -> None:
    runs.start("narrow", "probe", {"before": 0, "width": 3, "after": 0, "seconds": 8}, parallelism=1)

    def said() -> str | None:
        return str(runs.status("narrow").get("message", "")) or None

    assert eventually("the run says why", said) == "calls wait for their turn: parallelism is 1"
    assert runs.status("narrow")["tasks"]["queued"] > 0
    assert len(task_pods(runs, "narrow")) <= 2, "one at work, one that is ending"
    assert runs.until_phase("narrow", "Succeeded", "Failed")["phase"] == "Succeeded"
