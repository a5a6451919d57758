"""Why the attempts of calls in warm pods have ended, and which budget they are charged to. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from application_sdk.wire import reasons
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ReuseFields
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.actions import PatchTask
from apprun_operator.plan.call import attempts
from apprun_operator.plan.call.pod_status import PodEnded
from apprun_operator.plan.limits import Limits

GONE: Final = PodEnded(reasons.POD_DELETED, "the warm pod of the call is gone", "Disruption")

DROPPED: Final = PodEnded(
    reasons.NOT_ACKNOWLEDGED, "the call was taken out of the pod's inbox while the pod executed it", "None"
)


def ended_with(pod_ended: PodEnded, pod: PodRecord, reuse: ReuseFields, place: int, acknowledged: bool) -> PodEnded:
    """Judge what the end of a warm pod means for one of the calls that were assigned to it.

    Args:
        pod_ended: What the end would mean for a call with a pod of its own.
        pod: The pod.
        reuse: The policy of the call.
        place: Position of the call, from 0, among those of the pod in the order of assignment.
        acknowledged: Whether the pod has said that it began the call.
    """
    if pod.exit_code == 0 and not acknowledged and "maxCalls" in reuse:
        # The pod has executed as many calls as it may, and this one wasn't among them.
        return PodEnded(reasons.NOT_ACKNOWLEDGED, "the warm pod ended before it began the call", "None", exit_code=0)
    if pod_ended.budget != "App":
        return pod_ended
    if place >= reuse["concurrency"] and not acknowledged:
        message = "another call ended the warm pod before it began this call"
        return PodEnded(reasons.NOT_ACKNOWLEDGED, message, "None", exit_code=pod_ended.exit_code)
    # guard: shared-pod-disruption - a call would be charged for the memory that another one took
    if reuse["concurrency"] > 1:
        message = f"{pod_ended.message}. Several calls ran in this pod, and it isn't known which of them caused it"
        return replace(pod_ended, message=message, budget="Disruption")
    return pod_ended


def not_acknowledged(pod: PodRecord, seconds: float) -> PodEnded:
    """The end of an attempt that is in the pod's inbox, and that the pod says nothing about."""
    message = f"warm pod {pod.meta.key.name!r} neither began nor reported the call within {seconds:g} s"
    return PodEnded(reasons.NOT_ACKNOWLEDGED, message, "None")


def end_call(task: TaskRecord, ended: PodEnded, pod: PodRecord | None, now: float, limits: Limits) -> PatchTask:
    """End an attempt in a warm pod, and clear the assignment if another attempt follows."""
    patch = attempts.end_attempt(task, ended, pod, now, limits)
    if "attempt" not in patch.status:
        return patch
    # Cleared in the write that counts the attempt, or the old pod could report for the new one.
    cleared: JSONObject = dict.fromkeys(("pod", "assignedAt", "startedAt", "node"))
    return replace(patch, status={**patch.status, **cleared})
