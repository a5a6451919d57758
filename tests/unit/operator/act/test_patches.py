"""A commit appends to the ledger in the status: what is sent does what the whole list would have done."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apprun_operator.act.patches import append_patch


def entries(count: int) -> list[Any]:
    return [{"sequence": number, "key": f"{number:032x}"} for number in range(count)]


def patched(status: dict[str, Any], operations: list[Any]) -> dict[str, Any]:
    """As RFC 6902 has it, for the operations that are sent."""
    item: dict[str, Any] = {"metadata": {"resourceVersion": "7"}, "status": copy.deepcopy(status)}
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        target: Any = item
        for step in way:
            target = target[step]
        if last == "-":
            target.append(operation["value"])
        else:
            target[last] = operation["value"]
    done: dict[str, Any] = item["status"]
    return done


@given(before=st.integers(1, 130), commits=st.integers(1, 20), phase=st.sampled_from(["Running", "Cancelling"]))
def test_an_append_leaves_the_status_that_was_planned(before: int, commits: int, phase: str) -> None:
    old = {"checkpoints": entries(before), "phase": "Running", "tasks": {"total": before}}
    wanted = {"checkpoints": entries(before + commits), "phase": phase, "tasks": {"total": before + commits}}
    operations = append_patch(7, wanted, commits)
    assert operations is not None
    assert patched(old, operations) == wanted


def test_an_append_requires_the_version_that_was_planned_with() -> None:
    operations = append_patch(7, {"checkpoints": entries(3)}, 1)
    assert operations is not None
    assert operations[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def test_an_append_sends_the_new_entries_only() -> None:
    operations = append_patch(7, {"checkpoints": entries(100)}, 2)
    assert operations is not None
    assert [operation["value"]["sequence"] for operation in operations[1:]] == [98, 99]


@pytest.mark.parametrize(
    ("status", "commits"),
    [
        ({"checkpoints": entries(2)}, 2),
        ({"checkpoints": entries(2)}, 0),
        ({"phase": "Running"}, 0),
        ({"checkpoints": entries(9), "ledgerPages": 1}, 1),
        ({"checkpoints": entries(9), "app": {"imageDigest": "sha256:1"}}, 1),
    ],
    ids=["first", "none", "no ledger", "page", "merged field"],
)
def test_where_a_list_would_become_another_one_it_is_sent_whole(status: dict[str, Any], commits: int) -> None:
    assert append_patch(7, status, commits) is None
