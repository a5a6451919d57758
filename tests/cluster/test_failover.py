"""Two operators, of which one leads. Whatever happens to it, runs go on, and no task runs twice for it."""

from __future__ import annotations

import time
import uuid

import pytest
from tests.support.bed import EXISTING, Bed
from tests.support.interrupted import assert_completed, started
from tests.support.kube import Object, eventually
from tests.support.replicas import Replicas
from tests.support.runs import Runs

pytestmark = pytest.mark.exclusive

needs_own_cluster = pytest.mark.skipif(EXISTING, reason="processes of an existing cluster aren't within reach")


@pytest.fixture
def replicas(bed: Bed) -> Replicas:
    return Replicas(bed)


@needs_own_cluster
def test_a_leader_that_dies_without_a_word_is_succeeded(runs: Runs, replicas: Replicas) -> None:
    leader = replicas.leader()
    committed = started(runs, "headless", seconds=3)
    died = time.monotonic()
    replicas.kill(leader)
    successor = replicas.until_another_leads(leader)
    print(f"another leads {time.monotonic() - died:.1f} s later")
    assert_completed(runs, "headless", committed)
    assert replicas.leader().name == successor, "leadership went on to somebody else for no reason"


@needs_own_cluster
def test_a_leader_that_was_paused_does_no_harm_when_it_goes_on(runs: Runs, replicas: Replicas) -> None:
    leader = replicas.leader()
    committed = started(runs, "paused", seconds=3)
    with leader.stopped():
        successor = replicas.until_another_leads(leader)
        runs.until_committed("paused", 4)
    # From here on both are awake, and the old one in the middle of what it was doing.
    assert_completed(runs, "paused", committed)
    assert replicas.leader().name == successor
    assert leader in replicas.all(), "it was restarted"


@needs_own_cluster
def test_connections_that_are_dead_without_a_word_are_given_up(runs: Runs, replicas: Replicas) -> None:
    """Half-open: the watches of the leader stay silent forever, and its next requests get no answer."""
    leader = replicas.leader()
    committed = started(runs, "half-open", seconds=3)
    with leader.half_open() as connections:
        assert connections >= 3, "a watch for each kind at least"
        assert_completed(runs, "half-open", committed)
    assert leader in replicas.all(), "it was restarted"


def test_an_upgrade_in_the_middle_of_a_run_interrupts_nothing(bed: Bed, runs: Runs, replicas: Replicas) -> None:
    before = {one.name for one in replicas.all()}
    committed = started(runs, "upgraded", seconds=3)
    bed.install(f"podAnnotations.upgrade={uuid.uuid4()}")
    assert_completed(runs, "upgraded", committed)
    assert not before & {one.name for one in replicas.all()}
    assert all(
        attempt["budget"] != "Disruption"
        for task in runs.tasks("upgraded")
        for attempt in task["status"].get("attempts", [])
    )


@needs_own_cluster
def test_anti_affinity_keeps_one_replica_on_node_loss(bed: Bed, replicas: Replicas) -> None:
    bed.install("nodeSpread=DoNotSchedule")
    try:
        bed.cli("kill-node", "node2")
        waits = eventually("the replacement waits for a node", lambda: unplaced(replicas), 90)
        assert [one.node for one in replicas.all()] == ["node1"]
        bed.cli("start-node", "node2")
        nodes = eventually(
            "both nodes have one", lambda: n if len(n := {r.node: r for r in replicas.all()}) == 2 else None
        )
        assert nodes["node2"].name == waits
    finally:
        bed.cli("up")
        bed.install()


def unplaced(replicas: Replicas) -> str | None:
    """The replica that the scheduler found no node for."""
    return next((pod["metadata"]["name"] for pod in replicas.pods() if unschedulable(pod)), None)


def unschedulable(pod: Object) -> bool:
    return any(c.get("reason") == "Unschedulable" for c in pod["status"].get("conditions", []))
