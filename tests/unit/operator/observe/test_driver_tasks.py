"""An AppTask that a driver has recorded: ended from its first event on, whatever its status says,
and committed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, RUN, a_driver, a_pod, seen

from application_sdk.wire.digest import digest
from apprun_operator.observe import parse
from apprun_operator.observe.fields import Unreadable
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.actions import CreatePod, PatchRun, PatchTask
from apprun_operator.plan.pod.secrets import for_driver, volumes
from apprun_operator.plan.run.reconcile import plan
from apprun_operator.telemetry import samples
from apprun_operator.telemetry.samples import AttemptFailed, CallCommitted

KEY = "0123456789abcdef0123456789abcdef"
OUTCOME: dict[str, Any] = {
    "phase": "Succeeded",
    "attempt": 2,
    "output": {"n": 1},
    "attempts": [{"attempt": 1, "reason": "ValueError", "budget": "App"}],
    "node": "node1",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T00:00:01Z",
}


def raw(**outcome: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{RUN}-{KEY[:16]}",
            "namespace": "default",
            "uid": "u",
            "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:02Z",
            "ownerReferences": [{"uid": "run-uid"}],
        },
        "spec": {"run": RUN, "role": "local", "key": KEY, "task": "think", "outcome": {**OUTCOME, **outcome}},
        "status": {"phase": "Active", "attempt": 1},
    }


def record(**outcome: Any) -> TaskRecord:
    return parse.task(raw(**outcome))


def test_recorded_call_has_ended() -> None:
    task = record()
    assert (task.phase, task.finished, task.attempt, task.node) == ("Succeeded", True, 2, "node1")
    assert task.digest == digest({"n": 1})


@pytest.mark.parametrize("phase", ["Failed", "Cancelled"])
def test_recorded_failure_is_committed_with_its_error(phase: str) -> None:
    error = {"type": "ValueError", "message": "no", "attempt": 2}
    task = parse.task(raw(phase=phase, error=error))
    assert (task.phase, task.digest) == (phase, digest(error))


@pytest.mark.parametrize("phase", ["Active", "Saving", None, 7])
def test_outcome_that_is_none_is_unreadable(phase: object) -> None:
    with pytest.raises(Unreadable, match="not an outcome of a call"):
        record(phase=phase)


def test_recorded_call_is_committed_and_given_no_pod() -> None:
    observed = seen(a_driver(), record(), a_pod(a_driver()))
    decided = plan(observed, NOW, LIMITS)
    [commit] = [action for action in decided.first if isinstance(action, PatchRun)]
    checkpoints = commit.status["checkpoints"]
    assert isinstance(checkpoints, list)
    entry = checkpoints[-1]
    assert isinstance(entry, dict)
    assert (entry["key"], entry["outcome"], entry["attempts"]) == (KEY, "Succeeded", 2)
    assert not [item for item in decided.then if isinstance(item, CreatePod | PatchTask)]


def test_attempts_that_failed_are_counted_with_the_commit() -> None:
    observed = seen(a_driver(), record(), a_pod(a_driver()))
    [commit] = [action for action in plan(observed, NOW, LIMITS).first if isinstance(action, PatchRun)]
    committed, failed = samples.of_run(observed, commit, NOW).samples
    assert isinstance(committed, CallCommitted)
    assert committed.stages["run"] == 1.0
    assert failed == AttemptFailed("local", "App", "Exception")


# Secrets


def test_driver_is_given_the_secrets_that_say_so() -> None:
    app: dict[str, Any] = {"secrets": [{"name": "openai", "driver": True}, {"name": "database"}]}
    assert for_driver(app) == ["openai"]
    item, mounts = volumes(app, for_driver(app))
    assert [mount["mountPath"] for mount in mounts if isinstance(mount, dict)] == ["/apprun/secrets/openai"]
    assert len(item) == 1


@pytest.mark.parametrize(
    "app", [{}, {"secrets": [{"name": "database"}]}, {"secrets": [{"name": "a", "driver": False}]}]
)
def test_driver_is_given_no_secret_otherwise(app: dict[str, Any]) -> None:
    assert volumes(app, for_driver(app)) == ([], [])
