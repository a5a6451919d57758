"""Which terminations of operator pods somebody had announced, and which nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hack.restarts import (
    ContainerExit,
    Expectation,
    OperatorPod,
    TerminationLog,
    operator_pods,
    probe_events,
    unexpected,
)

POD = OperatorPod("system", "apprun-a", "a", "node1", restarts=0, ready=True, leaving=False)
OTHER = replace(POD, name="apprun-b", uid="b", node="node2")
KILLED = replace(POD, restarts=1, last=ContainerExit(137, "Error", 101.0))
KILL = Expectation("killed", since=100.0, until=130.0, uids=frozenset({"a"}), restarts=True)


def seen(*samples: list[OperatorPod], every: float = 3.0) -> TerminationLog:
    terminations = TerminationLog()
    for number, pods in enumerate(samples):
        terminations.observe(pods, 99.0 + number * every)
    return terminations


def test_pods_that_live_on_have_not_terminated() -> None:
    assert seen([POD, OTHER], [POD, OTHER]).found == []


def test_restarts_before_the_first_sample_are_history() -> None:
    assert seen([KILLED], [KILLED]).found == []


def test_restart_is_seen_with_how_the_container_ended() -> None:
    (termination,) = seen([POD, OTHER], [KILLED, OTHER]).found
    assert termination.restarted
    assert "system/apprun-a on node1 restarted between" in termination.text
    assert "exit code 137, reason Error at " in termination.text


def test_two_restarts_between_two_samples_are_two() -> None:
    assert len(seen([POD], [replace(KILLED, restarts=2)]).found) == 2


def test_pod_that_is_deleted_terminates_once() -> None:
    terminations = seen([POD, OTHER], [replace(POD, leaving=True), OTHER], [OTHER])
    assert [(termination.pod.uid, termination.restarted) for termination in terminations.found] == [("a", False)]


def test_pod_that_vanished_between_samples() -> None:
    assert [termination.pod.uid for termination in seen([POD, OTHER], [OTHER]).found] == ["a"]


def test_pod_that_comes_is_no_termination() -> None:
    assert seen([POD], [POD, OTHER]).found == []


def test_pod_that_has_restarted_before_it_was_seen_first() -> None:
    assert [one.restarted for one in seen([OTHER], [KILLED, OTHER]).found] == [True]


def test_pod_that_is_evicted_has_terminated() -> None:
    metadata = {"namespace": "system", "name": "apprun-a", "uid": "a"}
    evicted = operator_pods([{"metadata": metadata, "spec": {}, "status": {"phase": "Failed", "reason": "Evicted"}}])
    assert [one.restarted for one in seen([POD], evicted, evicted).found] == [False]


def test_announced_kill_explains_one_restart_of_that_pod() -> None:
    terminations = seen([POD, OTHER], [KILLED, OTHER])
    assert unexpected(terminations.found, [KILL]) == []
    again = seen([POD], [KILLED], [replace(KILLED, restarts=2)])
    assert len(unexpected(again.found, [KILL])) == 1


def test_each_kill_of_the_same_pod_is_announced_for_itself() -> None:
    again = seen([POD], [KILLED], [replace(KILLED, restarts=2)])
    assert unexpected(again.found, [KILL, KILL]) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(KILL, uids=frozenset({"b"})),
        replace(KILL, since=200.0, until=300.0),
        replace(KILL, since=10.0, until=60.0),
        replace(KILL, uids=None, node="node2"),
        replace(KILL, restarts=False),
    ],
    ids=["another pod", "later", "long before", "another node", "a roll-out"],
)
def test_nothing_else_explains_it(other: Expectation) -> None:
    assert len(unexpected(seen([POD], [KILLED]).found, [other])) == 1


def test_container_that_starts_again_after_a_long_back_off() -> None:
    """What the sample finds is the new container; that the old one ended when it was killed is what kubelet says."""
    terminations = seen([POD], [replace(KILLED, last=ContainerExit(137, "Error", 110.0))], every=290.0)
    assert unexpected(terminations.found, [KILL]) == []


def test_lost_node_explains_what_was_on_it() -> None:
    lost = Expectation("node killed", 98.0, 300.0, node="node1", restarts=True)
    back = replace(POD, restarts=1, last=ContainerExit(255, "Unknown", None))
    terminations = seen([POD, OTHER], [replace(POD, leaving=True), OTHER], [replace(back, leaving=True), OTHER])
    assert len(terminations.found) == 2
    assert unexpected(terminations.found, [lost]) == []


def test_pods_are_read_from_what_the_api_server_gives() -> None:
    ended = {"exitCode": 137, "reason": "Error", "finishedAt": "1970-01-01T00:01:41Z"}
    sidecar = {"name": "a-proxy", "restartCount": 9}
    statuses = [sidecar, {"name": "operator", "restartCount": 1, "lastState": {"terminated": ended}}]
    ready = [{"type": "Ready", "status": "True"}]
    metadata = {"namespace": "system", "name": "apprun-a", "uid": "a"}
    item = {"metadata": metadata, "spec": {"nodeName": "node1"}}
    (pod,) = operator_pods([{**item, "status": {"containerStatuses": statuses, "conditions": ready}}])
    assert pod == KILLED
    (pending,) = operator_pods([{"metadata": {**metadata, "deletionTimestamp": "now"}, "spec": {}}])
    assert (pending.node, pending.restarts, pending.ready, pending.leaving) == ("", 0, False, True)


def test_what_kubelet_says_of_probes_is_told_in_its_order() -> None:
    events = [
        {"reason": "Killing", "message": "failed liveness probe", "lastTimestamp": "2026-01-01T00:00:09Z"},
        {"reason": "Pulled", "message": "image", "lastTimestamp": "2026-01-01T00:00:00Z"},
        {"reason": "Unhealthy", "message": "503\n", "count": 6, "lastTimestamp": "2026-01-01T00:00:05Z"},
    ]
    assert probe_events(events) == ["Unhealthy ×6: 503", "Killing ×1: failed liveness probe"]
