"""Objects as the API server gives them become the records that the demo judges."""

from __future__ import annotations

import pytest
from hack.demo.observe import Reader, Unanswered, Value, pod_of, subject, task_of, through, witness_of
from hack.demo.snapshot import JSON, EndedAttempt
from hack.restarts import SELECTOR
from tests.support.terminal import HOSTILE

from application_sdk.wire.printable import is_printable

RUN: JSON = {
    "status": {
        "phase": "Running",
        "ledgerPages": 1,
        "checkpoints": [
            {
                "sequence": 1,
                "key": "b",
                "task": "two",
                "outcome": "Succeeded",
                "attempts": 2,
                "digest": "d",
                "at": "now",
            }
        ],
    }
}
PAGE: JSON = {
    "spec": {
        "checkpoints": [
            {"sequence": 0, "key": "a", "task": "one", "outcome": "Failed", "attempts": 1, "digest": "c", "at": "now"}
        ]
    }
}
NODES: JSON = {
    "items": [
        {"metadata": {"name": "node1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        {"metadata": {"name": "node2"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
    ]
}
NOTHING: JSON = {"items": []}
OPERATORS: JSON = {"items": [{"metadata": {"namespace": "s", "name": "o", "uid": "u"}, "spec": {"nodeName": "node1"}}]}


def answers(path: str) -> JSON:
    known: dict[str, JSON] = {
        "/api/v1/namespaces/ns/pods?labelSelector=apprun.dev/run=r": NOTHING,
        "/apis/apprun.dev/v1alpha1/namespaces/ns/apptasks?labelSelector=apprun.dev/run=r": NOTHING,
        "/apis/apprun.dev/v1alpha1/namespaces/ns/appruns/r": RUN,
        "/apis/apprun.dev/v1alpha1/namespaces/ns/appledgers/r-0": PAGE,
        "/api/v1/nodes": NODES,
        f"/api/v1/pods?labelSelector={SELECTOR}": OPERATORS,
        "/api/v1/namespaces/ns/configmaps?labelSelector=catalog.apprun.dev/run=r": NOTHING,
        "/apis": {"groups": [{"preferredVersion": {"groupVersion": "apps/v1"}}]},
        "/api/v1": {"resources": [{"name": "pods", "verbs": ["list"]}, {"name": "pods/log", "verbs": ["get", "list"]}]},
        "/apis/apps/v1": {
            "resources": [{"name": "deployments", "verbs": ["list"]}, {"name": "x", "verbs": ["create"]}]
        },
    }
    return known[path]


def test_ledger_is_read_with_its_pages() -> None:
    snapshot = Reader(answers, "ns", "r").snapshot()
    assert [(entry.sequence, entry.key, entry.outcome) for entry in snapshot.ledger] == [
        (0, "a", "Failed"),
        (1, "b", "Succeeded"),
    ]


def test_only_a_ready_condition_of_true_makes_a_node_ready() -> None:
    snapshot = Reader(answers, "ns", "r").snapshot()
    assert snapshot.is_ready("node1")
    assert not snapshot.is_ready("node2")


def test_pods_of_the_operator_are_seen() -> None:
    assert [(pod.name, pod.node) for pod in Reader(answers, "ns", "r").snapshot().operators] == [("o", "node1")]


def test_listable_kinds_are_counted_without_subresources() -> None:
    assert Reader(answers, "ns", "r").served() == (2, 2)


def test_task_without_a_status_is_active_in_its_first_attempt() -> None:
    task = task_of(Value({"metadata": {"name": "r-abc"}, "spec": {"key": "abc", "task": "t", "role": "task"}}))
    assert (task.phase, task.attempt, task.over) == ("Active", 1, False)


def test_ended_attempts_keep_reason_and_budget() -> None:
    attempts: JSON = [{"attempt": 1, "reason": "NodeLost", "budget": "Disruption"}]
    task = task_of(Value({"status": {"attempt": 2, "attempts": attempts}}))
    assert task.ended == (EndedAttempt(1, "NodeLost", "Disruption"),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "Ada"}, "Ada"),
        ({"pace_seconds": 5, "group": {"id": "apps", "version": "v1"}}, "apps"),
        ({"pace_seconds": 5}, ""),
        (None, ""),
    ],
)
def test_subject_is_the_first_thing_that_an_input_names(given: JSON, expected: str) -> None:
    assert subject(Value(given)) == expected


def test_owner_and_label_of_a_pod_tell_task_and_attempt() -> None:
    labels: JSON = {"apprun.dev/attempt": "2"}
    owners: JSON = [{"kind": "AppTask", "name": "r-driver"}]
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    found = pod_of(
        Value({"metadata": {"name": "r-driver-2-0", "labels": labels, "ownerReferences": owners, **leaving}})
    )
    assert (found.task, found.attempt, found.node, found.phase, found.leaving) == ("r-driver", 2, "", "Pending", True)


def test_witness_is_read_off_labels_and_data() -> None:
    labels: JSON = {"catalog.apprun.dev/key": "k", "catalog.apprun.dev/attempt": "2"}
    found = witness_of(Value({"metadata": {"labels": labels}, "data": {"node": "node1", "pod": "r-k-2"}}))
    assert (found.key, found.attempt, found.node, found.pod) == ("k", 2, "node1", "r-k-2")


def test_missing_socket_is_no_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(Unanswered, match="GET /api/v1/nodes"):
        through(tmp_path_factory.mktemp("s") / "api.sock")("/api/v1/nodes")


def test_what_the_board_draws_holds_no_control_characters() -> None:
    metadata: JSON = {"name": HOSTILE, "labels": {"apprun.dev/role": HOSTILE}}
    item = Value({"metadata": metadata, "spec": {"task": HOSTILE, "input": {"name": HOSTILE}, "nodeName": HOSTILE},
                  "status": {"phase": HOSTILE, "attempts": [{"reason": HOSTILE}]}})  # fmt: skip
    for record in (task_of(item), pod_of(item), witness_of(item)):
        texts = [value for value in vars(record).values() if isinstance(value, str)]
        assert texts
        assert all(is_printable(text) for text in texts)
    assert is_printable(task_of(item).ended[0].reason)
