"""The one state of a call that the command line and the metrics share."""

from __future__ import annotations

import pytest

from application_sdk.wire.call_state import CallState, PodState, call_state


@pytest.mark.parametrize(
    ("phase", "role", "pod", "state"),
    [
        ("Active", "task", "absent", "Queued"),
        ("Active", "task", "starting", "Starting"),
        ("Active", "task", "started", "Running"),
        ("", "task", "started", "Running"),
        ("Saving", "task", "started", "Running"),
        ("Waiting", "task", "starting", "Waiting"),
        ("Waiting", "task", "absent", "Waiting"),
        ("Active", "timer", "absent", "Sleeping"),
        ("Succeeded", "timer", "absent", "Succeeded"),
        ("Failed", "task", "started", "Failed"),
        ("Cancelled", "task", "starting", "Cancelled"),
    ],
)
def test_state_follows_phase_role_and_pod(phase: str, role: str, pod: PodState, state: CallState) -> None:
    assert call_state(phase, role, pod) == state


def test_an_absent_pod_is_retried_while_its_back_off_lasts() -> None:
    assert call_state("Active", "task", "absent", backing_off=True) == "Retrying"
    assert call_state("Active", "task", "started", backing_off=True) == "Running"
