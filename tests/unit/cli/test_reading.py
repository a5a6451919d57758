"""What the pod of a call tells of it: a pod that was started isn't always one at work."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.cli.cluster.parse import call_of
from application_sdk.wire import names

RUN_UID = "0a1b2c3d-0000-4000-8000-000000000000"
POD = names.pod_name("r-a", 1, RUN_UID)
TASK = {
    "metadata": {"name": "r-a", "ownerReferences": [{"uid": RUN_UID}]},
    "spec": {"role": "task", "task": "fetch", "key": "a"},
}
RUNNING = {
    "phase": "Running",
    "containerStatuses": [{"name": "task", "state": {"running": {"startedAt": "2026-07-01T10:00:01Z"}}}],
}


def message(pod: dict[str, Any], **status: Any) -> str:
    labels = {"labels": {names.ROLE_LABEL: "task"}}
    item = {"spec": {"nodeName": "node1"}, **pod, "metadata": {"name": POD, **labels, **pod.get("metadata", {})}}
    return call_of({**TASK, "status": status}, {}, {POD: item}, 1000.0).message


def ready(status: str) -> dict[str, Any]:
    return {**RUNNING, "conditions": [{"type": "Ready", "status": status, "reason": "NodeNotReady"}]}


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"status": ready("True")}, ""),
        ({"status": {"phase": "Running"}}, ""),
        ({"status": ready("False")}, "NodeLost: node node1 doesn't answer (NodeNotReady)"),
        ({"status": RUNNING, "metadata": {"deletionTimestamp": "2026-07-01T10:00:01Z"}}, "PodTerminating: its pod"),
        (
            {
                "status": {
                    "phase": "Failed",
                    "containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 137}}}],
                }
            },
            "PodEnded: its pod has ended (Failed, exit code 137) without a report",
        ),
        (
            {
                "status": {
                    "phase": "Failed",
                    "containerStatuses": [
                        {"name": "proxy", "state": {"terminated": {"exitCode": 0}}},
                        {"name": "task", "state": {"terminated": {"exitCode": 7}}},
                    ],
                }
            },
            "PodEnded: its pod has ended (Failed, exit code 7)",
        ),
    ],
)
def test_pod_that_is_not_at_work_is_told(pod: dict[str, Any], words: str) -> None:
    found = message(pod)
    assert found.startswith(words) if words else found == ""


def test_task_whose_state_is_being_kept_is_not_at_work() -> None:
    assert message({"status": RUNNING}, phase="Saving").startswith("Saving: it has succeeded")


@pytest.mark.parametrize("field", ["startedAt", "heartbeat", "progress"])
def test_whatever_a_pod_has_said_counts_as_a_sign_of_it(field: str) -> None:
    status = {field: "2026-07-01T10:00:01Z" if field == "startedAt" else {"done": 1}}
    assert call_of({**TASK, "status": status}, {}, {}, 1000.0).has_reported
    assert not call_of({**TASK, "status": {}}, {}, {}, 1000.0).has_reported
