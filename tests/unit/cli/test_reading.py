"""What the pod of a call tells of it: a pod that was started isn't always one at work."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.cli.cluster.reading import call_of

TASK = {"metadata": {"name": "r-a"}, "spec": {"role": "task", "task": "fetch", "key": "a"}}
RUNNING = {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": "2026-07-01T10:00:01Z"}}}]}


def message(pod: dict[str, Any], **status: Any) -> str:
    found = {"metadata": {}, "spec": {"nodeName": "node1"}, **pod}
    return call_of({**TASK, "status": status}, {}, {"r-a-1": found}, 1000.0).message


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
            {"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]}},
            "PodEnded: its pod has ended (Failed, exit code 137) without a report",
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
    said = {field: "2026-07-01T10:00:01Z" if field == "startedAt" else {"done": 1}}
    assert call_of({**TASK, "status": said}, {}, {}, 1000.0).heard_from
    assert not call_of({**TASK, "status": {}}, {}, {}, 1000.0).heard_from
