"""The cancellation of a run: whether its route may clean up, and how the calls that it had made are
ended.

The route is told first, by an entry of the ledger. It gets a CancelledError at that point, in every
replay too, and may clean up with tasks of its own, while the calls that it had made before are
stopped. Results that are reported meanwhile are committed as always.
"""

from __future__ import annotations

from typing import Final

from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.actions import DeletePod
from apprun_operator.plan.call import attempts
from apprun_operator.plan.call.attempts import CallDecision
from apprun_operator.plan.call.pod_status import is_stopped
from apprun_operator.plan.limits import DELETION_SLACK
from apprun_operator.plan.run.app_resolution import cancel_grace
from apprun_operator.plan.run.calls import Calls
from apprun_operator.plan.times import earliest

WHY: Final = "the run was cancelled"
CANCELS_AT_A_TIME: Final = 200
"""So many calls without a pod are ended in one pass."""


def may_clean_up(observed: Observed, now: float) -> bool:
    """Whether the route is still given time to end by itself.

    A route that can't be executed is given none, nor one that has done nothing yet, nor one whose
    end has begun without a clean-up: its status says Cancelling, and its ledger has no
    cancellation.
    """
    run, driver = observed.run, observed.driver
    if not run.began or (driver is not None and driver.reported_error is not None and "stall" in driver.reported_error):
        return False
    if run.cancelled_at is not None:
        return now < run.cancelled_at + cancel_grace(observed)
    if run.phase == "Cancelling" or cancel_grace(observed) <= 0:
        return False
    runs = driver is not None and _runs(observed.pods.get(driver.pod_name))
    called = bool(run.checkpoints or run.pages) or any(task.role != "driver" for task in observed.tasks.values())
    return runs or (called and run.phase != "Stalled")


def is_cleanup(task: TaskRecord) -> bool:
    """Whether the call goes on although its run was cancelled: its route made it to clean up, or it
    has no pod to end.

    The driver has an AppTask too, and timers are over by themselves.
    """
    return task.role != "task" or task.cleanup


def cancel_calls(observed: Observed, calls: Calls, now: float) -> None:
    """End the calls that a cancelled route had made before, and add that to `calls`.

    Those with a pod end at once, the others by and by, so that the clean-up doesn't wait behind
    thousands of them.
    """
    without_pod = 0
    for name, task in observed.tasks.items():
        if task.finished or task.phase == "Saving" or is_cleanup(task):
            continue
        if task.pod_name not in observed.pods:
            without_pod += 1
            if name in observed.in_flight or task.pod_name in observed.in_flight or without_pod > CANCELS_AT_A_TIME:
                continue
        decision = cancel_call(observed, task, now)
        calls.actions.extend(decision.actions)
        calls.wake_at = earliest(calls.wake_at, decision.wake_at)
        calls.occupied += decision.occupies


def cancel_call(observed: Observed, task: TaskRecord, now: float) -> CallDecision:
    """Ask the pod of an open call to stop.

    Once it has stopped, the call ends as Cancelled, unless the pod has reported a result.
    """
    pod = observed.pods.get(task.pod_name)
    if task.meta.key.name in observed.in_flight or task.pod_name in observed.in_flight:
        return CallDecision(occupies=pod is not None)
    if pod is None or is_stopped(pod, now) or task.reported_error is not None:
        return CallDecision([attempts.cancel(task, WHY, now, pod)])
    if pod.deletion_at is None:
        return CallDecision([DeletePod(pod.meta.key, pod.meta.uid)], occupies=True)
    return CallDecision(wake_at=pod.deletion_at + DELETION_SLACK, occupies=True)


def _runs(pod: PodRecord | None) -> bool:
    return pod is not None and not pod.ended and pod.running_since is not None
