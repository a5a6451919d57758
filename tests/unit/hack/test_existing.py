"""``CLUSTER=existing``, and how progress and status read."""

from __future__ import annotations

import pytest
from hack.cluster import existing
from hack.cluster.errors import ClusterError
from hack.cluster.progress import duration
from hack.cluster.status import ClusterStatus, NodeStatus, page


def test_without_a_wish_the_cluster_is_our_own() -> None:
    assert existing.is_wanted({}) is False
    assert existing.is_wanted({"CLUSTER": ""}) is False


def test_existing_means_the_current_context() -> None:
    assert existing.is_wanted({"CLUSTER": "existing"}) is True


def test_any_other_wish_is_refused() -> None:
    with pytest.raises(ClusterError, match="CLUSTER=existing"):
        existing.is_wanted({"CLUSTER": "kind"})


@pytest.mark.parametrize(("command", "hint"), [("load", "registry"), ("kill-node", "leave CLUSTER out")])
def test_a_command_for_own_clusters_names_the_alternative(command: str, hint: str) -> None:
    error = existing.refuse(command)
    assert command in error.problem
    assert hint in error.remedy


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (12.64, "12.6 s"), (60.2, "1 min 00 s"), (389.6, "6 min 30 s")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_status_page_tells_a_dead_node_from_a_cut_one() -> None:
    nodes = (
        NodeStatus("node1", "10.123.2.11", on=False, connected=True, ready=False),
        NodeStatus("node2", "10.123.2.12", on=True, connected=False, ready=None),
    )
    state = ClusterStatus("mine", False, "https://10.123.2.1:6443", True, "/k", "/logs", False, nodes)
    lines = page(state).splitlines()
    assert "not healthy" in lines[0]
    assert lines[-2].split() == ["node1", "off", "whole", "NotReady", "10.123.2.11"]
    assert lines[-1].split() == ["node2", "on", "cut", "not", "seen", "10.123.2.12"]
