"""A call that ran in the driver, as `apprun show` and a backup tell of it."""

from __future__ import annotations

from typing import Any

from application_sdk.cli.cluster.parse import call_of, details_of
from application_sdk.cli.views.call_tree import rows
from application_sdk.cli.views.diagnosis import explain

KEY = "0123456789abcdef0123456789abcdef"


def recorded(**outcome: Any) -> dict[str, Any]:
    times = {"startedAt": "2026-07-01T10:00:00Z", "finishedAt": "2026-07-01T10:00:02Z"}
    return {
        "metadata": {"name": f"r-{KEY[:16]}", "creationTimestamp": "2026-07-01T10:00:02Z"},
        "spec": {
            "role": "local",
            "task": "think",
            "key": KEY,
            "input": {},
            "outcome": {"phase": "Succeeded", "attempt": 1, "output": {"n": 1}, **times, **outcome},
        },
        "status": {"phase": "Active", "attempt": 1},
    }


RUN: dict[str, Any] = {
    "metadata": {"name": "r", "creationTimestamp": "2026-07-01T10:00:00Z"},
    "spec": {"app": {"entry": "app:A"}},
    "status": {"phase": "Succeeded"},
}
FAILED: dict[str, Any] = {
    "phase": "Failed",
    "attempt": 2,
    "error": {"type": "ValueError", "message": "no", "attempt": 2},
    "attempts": [
        {"attempt": 1, "reason": "ProcessDied", "budget": "App", "message": "exit code 7", "exitCode": 7},
        {"attempt": 2, "reason": "ValueError", "budget": "App", "message": "no"},
    ],
    "log": {"attempt": 2, "tail": "the last words"},
}


def test_recorded_call_has_its_outcome_and_no_open_state() -> None:
    call = call_of(recorded(), {}, {}, 2e9)
    assert (call.role, call.state, call.output, call.attempt) == ("local", "Succeeded", {"n": 1}, 1)
    assert [attempt.reason for attempt in call.attempts] == ["Completed"]


def test_recorded_failure_has_its_attempts_and_log() -> None:
    call = call_of(recorded(**FAILED), {}, {}, 2e9)
    assert call.error is not None
    assert (call.state, call.error["type"]) == ("Failed", "ValueError")
    assert [(attempt.reason, attempt.exit_code) for attempt in call.attempts] == [
        ("ProcessDied", 7),
        ("ValueError", None),
    ]
    assert call.attempts[1].log == "the last words"


def test_describe_says_that_it_failed_in_the_driver() -> None:
    details = details_of(RUN, [recorded(**FAILED)], [], [], "kind", 2e9)
    [finding] = explain(details, 2e9, local=False)
    assert finding.what.startswith("think (01234567, in the driver) failed after 2 attempts: ValueError: no.")
    assert "the last words" in finding.details


def test_tree_says_that_it_ran_in_the_driver() -> None:
    details = details_of(RUN, [recorded()], [], [], "kind", 2e9)
    assert [row.name.strip("├└─ ") for row in rows(details, 2e9)] == ["think (in the driver)"]
