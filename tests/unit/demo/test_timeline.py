"""Lines for people: each thing that happened is told once."""

from __future__ import annotations

from dataclasses import replace

from hack.demo import timeline
from tests.unit.demo.world import END, FAULT, KILLED_AT, WORKING, checkpoint, driver, pod


def texts(lines: list[timeline.Entry]) -> list[str]:
    return [line.text for line in lines]


def test_nothing_new_is_nothing_told() -> None:
    assert timeline.between(WORKING, WORKING) == []
    assert timeline.of_fault(FAULT, FAULT, KILLED_AT) == []


def test_commit_is_told_with_its_number_and_what_it_is_about() -> None:
    after = replace(WORKING, ledger=(*WORKING.ledger, checkpoint(2, "apps")))
    assert texts(timeline.between(WORKING, after)) == ["checkpoint 3: read_group apps succeeded"]


def test_next_attempt_is_told_with_the_reason() -> None:
    after = replace(WORKING, tasks=(driver(attempt=2), *WORKING.tasks[1:]))
    assert texts(timeline.between(WORKING, after)) == ["driver: attempt 1 is over (NodeLost), attempt 2 begins"]


def test_start_of_a_pod_is_told_when_it_runs() -> None:
    pending = replace(WORKING, pods=(*WORKING.pods, pod("apps", "node1", 2, phase="Pending")))
    running = replace(WORKING, pods=(*WORKING.pods, pod("apps", "node1", 2)))
    assert texts(timeline.between(WORKING, pending)) == []
    assert texts(timeline.between(pending, running)) == ["read_group apps runs on node1 (attempt 2)"]


def test_end_of_the_run_is_told() -> None:
    assert texts(timeline.between(replace(END, phase="Running"), END)) == ["the run is Succeeded"]


def test_failed_run_says_why() -> None:
    after = replace(WORKING, phase="Failed", message="it broke")
    assert texts(timeline.between(WORKING, after)) == ["the run is Failed: it broke"]


def test_times_of_a_fault_are_told_in_seconds_since_it() -> None:
    lines = timeline.of_fault(replace(FAULT, noticed_by_kubernetes=None, noticed_by_apprun=None), FAULT, KILLED_AT)
    assert texts(lines) == [
        "Kubernetes noticed after 4.3 s: node2 is NotReady",
        "AppRun starts the lost pods elsewhere, 9.6 s after the fault",
    ]
    assert [line.at for line in lines] == [KILLED_AT + 4.3, KILLED_AT + 9.6]


def test_loss_is_counted_when_it_becomes_known() -> None:
    lines = timeline.of_fault(replace(FAULT, losses=()), FAULT, KILLED_AT)
    assert texts(lines) == ["lost with it: 3 pods at work, the driver among them"]
