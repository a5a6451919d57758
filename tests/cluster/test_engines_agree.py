"""A sample of the programs that all engines agree on, on a real cluster: it gives what a laptop gives."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests.support.bed import Bed
from tests.support.engines.catalog import BY_NAME
from tests.support.engines.differences import SUBPROCESSES
from tests.support.engines.local import SOURCE, Local
from tests.support.engines.observed import Observed
from tests.support.engines.real import observe_all
from tests.support.kube import CORE
from tests.support.runs import Runs

from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import process_executor

SAMPLE = (
    "sequence",
    "used-up",
    "late-attempt",
    "resumed",
    "silent",
    "dying",
    "beside",
    "exception-group",
    "keyed",
    "values",
    "wrong-type",
    "threads",
)


@pytest.fixture(scope="module")
def on_cluster(bed: Bed) -> Iterator[dict[str, Observed]]:
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    bed.kube.create(f"{CORE}/namespaces", {"metadata": {"name": namespace, "labels": labels}})
    yield observe_all(Runs(bed.kube, namespace), [BY_NAME[name] for name in SAMPLE])
    bed.kube.delete(f"{CORE}/namespaces/{namespace}")


@pytest.fixture(scope="module")
def on_laptop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Observed]:
    with process_executor(SOURCE) as executor:
        engine = Local(SUBPROCESSES, RunStore(tmp_path_factory.mktemp("home")), executor)
        return {name: engine.observe(BY_NAME[name]) for name in SAMPLE}


@pytest.mark.parametrize("program", SAMPLE)
def test_run_shows_what_it_shows_on_a_laptop(
    on_cluster: dict[str, Observed], on_laptop: dict[str, Observed], program: str
) -> None:
    assert on_cluster[program] == on_laptop[program]
