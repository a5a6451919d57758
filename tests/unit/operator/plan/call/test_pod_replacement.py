"""Pods that wait for what only a new pod can be given are made again, with back-off, at nobody's charge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import LIMITS, NOW, a_driver, a_pod, a_run, a_task, meta, seen

from application_sdk.wire.containers import Blocker
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import rfc3339
from apprun_operator.plan.actions import PatchRun, PatchTask
from apprun_operator.plan.call.attempts import decide
from apprun_operator.plan.run.reconcile import plan

PULL = {"waiting_reason": "ErrImagePull", "waiting_message": "connection refused"}
MIGRATE = Blocker("migrate", sidecar=False, exit_code=3, exit_message="no such table")
PROXY = Blocker("proxy", sidecar=True, image="proxy:1", waiting_reason="ErrImagePull", waiting_message="not found")


def unstarted(count: int, reason: str = "ImagePullFailed", since: float = 600) -> tuple[Any, ...]:
    return tuple(
        {"attempt": n + 1, "reason": reason, "budget": "None", "message": "no", "startedAt": rfc3339(NOW - since + n)}
        for n in range(count)
    )


def pending(task: TaskRecord, age: float, **fields: Any) -> PodRecord:
    pod = a_pod(task, **{"phase": "Pending", "running_since": None, **fields})
    return replace(pod, meta=meta(pod.meta.key.name, created=NOW - age, owner_uid=task.meta.uid))


def answer(task: TaskRecord, pod: PodRecord) -> dict[str, Any] | None:
    """What the call's status is patched with, if it is."""
    patches = [action for action in decide(seen(task, pod), task, NOW, LIMITS).actions if isinstance(action, PatchTask)]
    return dict(patches[0].status) if patches else None


def waiting(**fields: Any) -> TaskRecord:
    return a_task(phase="Waiting", message=f"{fields.pop('reason', 'ImagePullFailed')}: no", **fields)


@pytest.mark.parametrize(
    ("before", "age", "again"),
    [(0, 29, False), (0, 30, True), (1, 59, False), (1, 60, True), (7, 299, False), (7, 300, True)],
)
def test_held_pod_is_made_again_after_ever_longer_times(before: int, age: float, again: bool) -> None:
    task = waiting(attempt=before + 1, attempts=unstarted(before))
    status = answer(task, pending(task, age, **PULL))
    assert (status is not None) == again
    if status is not None:
        assert (status["attempt"], status["phase"], status["notBefore"]) == (before + 2, "Waiting", None)
        assert status["attempts"][-1]["budget"] == "None"


@pytest.mark.parametrize(("age", "again"), [(9, False), (10, True)])
def test_pod_that_failed_before_its_container_began_is_made_again_sooner(age: float, again: bool) -> None:
    task = waiting(reason="InitContainerFailed")
    assert (answer(task, pending(task, age, phase="Failed", blocker=MIGRATE)) is not None) == again


def test_pod_whose_blocker_cannot_be_pulled_is_made_again_without_end() -> None:
    task = waiting(reason="InitContainerFailed", attempt=30, attempts=unstarted(8, "InitContainerFailed", 90_000))
    status = answer(task, pending(task, 300, blocker=PROXY))
    assert status is not None
    assert (status["phase"], status["attempt"]) == ("Waiting", 31)
    assert status["message"].startswith("InitContainerFailed: the image 'proxy:1' of native sidecar 'proxy'")


def test_own_image_fails_the_call_when_all_its_pods_together_waited_too_long() -> None:
    task = waiting(attempt=3, attempts=unstarted(2, since=LIMITS.pending_timeout + 1))
    status = answer(task, pending(task, 20, **PULL))
    assert status is not None
    assert (status["phase"], status["error"]["type"]) == ("Failed", "ImagePullFailed")


def test_first_pod_of_a_wait_stays_in_the_history() -> None:
    task = waiting(attempt=12, attempts=unstarted(11))
    status = answer(task, pending(task, 300, **PULL))
    assert status is not None
    assert [entry["attempt"] for entry in status["attempts"]] == [1, *range(4, 13)]


def test_image_that_the_registry_has_not_fails_before_a_new_pod_is_tried() -> None:
    task = waiting()
    status = answer(task, pending(task, 30, waiting_reason="ErrImagePull", waiting_message="manifest unknown"))
    assert status is not None
    assert status["phase"] == "Failed"


def test_image_name_that_is_none_is_not_tried_again() -> None:
    driver = a_driver()
    pod = pending(driver, 3000, waiting_reason="InvalidImageName", waiting_message="couldn't parse")
    assert answer(driver, pod) is None


def test_call_stays_waiting_while_its_new_pod_starts_and_is_active_once_that_runs() -> None:
    task = waiting(attempt=2, attempts=unstarted(1))
    decision = decide(seen(task, pending(task, 1, waiting_reason="ContainerCreating")), task, NOW, LIMITS)
    assert not decision.actions
    assert decision.blocked is not None
    assert (decision.blocked.reason, decision.blocked.message) == ("ImagePullFailed", "no")
    status = answer(task, a_pod(task))
    assert status is not None
    assert status["phase"] == "Active"


def test_next_pod_is_asked_for_at_once() -> None:
    task = waiting(attempt=2, attempts=unstarted(1))
    decision = decide(seen(task), task, NOW, LIMITS)
    assert decision.wants_pod
    assert decision.blocked is not None


def test_failed_pod_is_looked_at_again_when_its_time_has_come() -> None:
    task = waiting(reason="InitContainerFailed")
    decision = decide(seen(task, pending(task, 6, phase="Failed", blocker=MIGRATE)), task, NOW, LIMITS)
    assert (decision.occupies, decision.wake_at) == (True, NOW + 4)


def test_pod_that_failed_so_and_was_deleted_is_made_again_at_once_at_nobodys_charge() -> None:
    task = waiting(reason="InitContainerFailed")
    status = answer(task, pending(task, 1, phase="Failed", blocker=MIGRATE, gone=True))
    assert status is not None
    assert (status["attempt"], status["attempts"][0]["budget"]) == (2, "None")


def test_stalled_run_stays_so_while_its_drivers_pod_is_made_again() -> None:
    run = a_run(phase="Stalled", reason="ImagePullFailed", message="no")
    driver = a_driver(attempt=2, attempts=unstarted(1))
    decided = plan(seen(driver, run=run), NOW, LIMITS)
    assert not [action for action in decided.first if isinstance(action, PatchRun)]
    assert len(decided.then) == 1


def test_run_says_what_its_driver_waits_for_and_keeps_saying_it() -> None:
    driver = a_driver()
    decided = plan(seen(driver, pending(driver, 6, phase="Failed", blocker=MIGRATE)), NOW, LIMITS)
    (patch,) = [action for action in decided.first if isinstance(action, PatchRun)]
    conditions: Any = patch.status["conditions"]
    assert (patch.status["phase"], conditions[0]["reason"]) == ("Running", "InitContainerFailed")
    assert "'migrate' ended with exit code 3: no such table" in str(patch.status["message"])
    said = a_run(reason="InitContainerFailed", message=str(patch.status["message"]))
    for things in (
        [driver, pending(driver, 11, phase="Failed", blocker=MIGRATE)],
        [a_driver(attempt=2, attempts=unstarted(1, "InitContainerFailed"))],
    ):
        later = plan(seen(*things, run=said), NOW, LIMITS)
        assert not [action for action in later.first if isinstance(action, PatchRun)]
