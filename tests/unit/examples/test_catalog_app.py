"""The catalog as an app: its tasks as plain methods, their witnesses, and the route over crashes of its driver."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from tests.unit.examples.fake_cluster import FakeCluster, Object

from application_sdk.engines.memory import MemoryEngine, SimulatedCrash, World
from application_sdk.engines.memory.attempts import AttemptRunner
from application_sdk.engines.memory.engine import Step
from application_sdk.execution.definition import RunInfo
from application_sdk.replay.run import run_route

Modules = dict[str, ModuleType]

INFO = RunInfo(run_id="catalog", uid="uid-of-run", started_at=1_767_225_600.0)
TASKS = 5
"""list_groups, read_group for core and apps, build_lineage, assemble."""


def token_of(pod: str, node: str) -> str:
    claims = json.dumps({"kubernetes.io": {"pod": {"name": pod}, "node": {"name": node}}})
    return f"header.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.signature"


def leave(catalog: Modules, cluster: FakeCluster, attempt: int = 1, token: str = "") -> None:
    with catalog["apiserver"].ApiServer(cluster.address, token, namespace="ns", pauses=(0.0,)) as api:
        catalog["witness"].leave_witness(api, catalog["witness"].Ran("catalog", "read_group", "uid-1/abc", attempt))


def keys(created: list[Object]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in created:
        metadata: Any = each["metadata"]
        found[metadata["labels"]["catalog.apprun.dev/key"]] += 1
    return found


async def test_task_runs_as_a_plain_method(catalog: Modules, cluster: FakeCluster) -> None:
    found = await catalog["app"].Catalog().list_groups(catalog["model"].ListGroupsInput())
    assert [group.id for group in found.groups] == ["core", "apps"]


async def test_each_task_leaves_one_witness(catalog: Modules, cluster: FakeCluster) -> None:
    await catalog["app"].Catalog().assemble(catalog["model"].AssembleInput())
    assert len(cluster.created) == 1


async def test_task_that_fails_leaves_no_witness(catalog: Modules, cluster: FakeCluster) -> None:
    cluster.hidden.add("/apis/none/v1")
    group = catalog["model"].Group(id="none", version="v1", path="/apis/none/v1")
    try:
        await catalog["app"].Catalog().read_group(catalog["model"].GroupInput(group=group))
    except catalog["apiserver"].Refused:
        assert cluster.created == []
    else:
        raise AssertionError("the task should have failed")


def test_witness_names_run_key_attempt_pod_and_node(catalog: Modules, cluster: FakeCluster) -> None:
    leave(catalog, cluster, attempt=2, token=token_of("catalog-abc-2", "node1"))
    (made,) = cluster.created
    metadata: Any = made["metadata"]
    assert metadata["labels"] == {
        "catalog.apprun.dev/witness": "true",
        "catalog.apprun.dev/run": "catalog",
        "catalog.apprun.dev/key": "abc",
        "catalog.apprun.dev/attempt": "2",
    }
    assert metadata["ownerReferences"][0]["uid"] == "uid-1"
    assert made["data"] == {"task": "read_group", "pod": "catalog-abc-2", "node": "node1"}


def test_lost_answer_makes_no_second_witness(catalog: Modules, cluster: FakeCluster) -> None:
    cluster.loses_next_answer = True
    leave(catalog, cluster)
    assert len(cluster.created) == 1


def test_two_executions_make_two_witnesses(catalog: Modules, cluster: FakeCluster) -> None:
    leave(catalog, cluster)
    leave(catalog, cluster)
    assert keys(cluster.created) == {"abc": 2}


def test_token_that_says_nothing_of_pod_and_node_is_no_error(catalog: Modules) -> None:
    assert catalog["witness"].whereabouts("opaque") == ("", "")


@pytest.fixture
def world(catalog: Modules, cluster: FakeCluster) -> Iterator[World]:
    runner = AttemptRunner(catalog["app"].Catalog, INFO)
    yield World(runner)
    runner.close()


def test_run_gives_the_catalog_in_numbers(catalog: Modules, cluster: FakeCluster, world: World) -> None:
    result = run_route(catalog["app"].Catalog, None, {}, MemoryEngine(world), INFO)
    assert result.outcome == "Succeeded", result.error
    output: Any = result.output
    assert (output["groups"], output["kinds"], output["unreadable"], output["objects"]) == (2, 4, 1, 4)
    assert output["largest"][0] == {"id": "core/pods", "objects": 3}
    assert output["lineage"]["deepest"] == ["Deployment web", "Pod web"]
    assert len(keys(cluster.created)) == TASKS


@pytest.mark.slow
def test_crash_of_the_driver_after_every_commit_repeats_no_task(
    catalog: Modules, cluster: FakeCluster, world: World
) -> None:
    seen: set[int] = set()

    def once_after_each_commit(step: Step) -> bool:
        fresh = step.kind == "after commit" and step.committed not in seen
        seen.add(step.committed)
        return fresh

    lives = 0
    while True:
        lives += 1
        try:
            result = run_route(catalog["app"].Catalog, None, {}, MemoryEngine(world, once_after_each_commit), INFO)
            break
        except SimulatedCrash:
            continue
    assert result.outcome == "Succeeded"
    assert lives > TASKS / 2
    assert set(keys(cluster.created).values()) == {1}
    assert len(cluster.created) == TASKS
