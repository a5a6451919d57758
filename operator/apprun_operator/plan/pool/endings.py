"""Why the attempts of calls that a warm pod had have ended, and whom they are charged to. Pure."""

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
    """What the end of a warm pod means for one of the calls that it had.

    Args:
        pod_ended: What it would mean for a call whose own pod this were.
        pod: The pod.
        reuse: The call's policy.
        place: Which of its calls this is, in the order of their assignment, from 0.
        acknowledged: Whether the pod has said that it began the call.
    """
    if pod.exit_code == 0 and not acknowledged and "maxCalls" in reuse:
        # It makes way for a new one, and hadn't begun this call.
        return PodEnded(reasons.NOT_ACKNOWLEDGED, "the warm pod ended before it began the call", "None", exit_code=0)
    if pod_ended.budget != "App":
        return pod_ended
    if place >= reuse["concurrency"] and not acknowledged:
        message = "the warm pod ended before it began the call, by what another call did"
        return PodEnded(reasons.NOT_ACKNOWLEDGED, message, "None", exit_code=pod_ended.exit_code)
    # guard: shared-pod-disruption - one call would be charged for the memory that another one took
    if reuse["concurrency"] > 1:
        message = f"{pod_ended.message}. Several calls ran in this pod, and nobody knows whose doing it was"
        return replace(pod_ended, message=message, budget="Disruption")
    return pod_ended


def not_acknowledged(pod: PodRecord, seconds: float) -> PodEnded:
    """The pod was told of the call, and has said nothing of it."""
    message = f"warm pod {pod.meta.key.name!r} neither began nor reported the call within {seconds:g} s"
    return PodEnded(reasons.NOT_ACKNOWLEDGED, message, "None")


def end_call(task: TaskRecord, ended: PodEnded, pod: PodRecord | None, now: float, limits: Limits) -> PatchTask:
    """Answer an attempt of a call that a warm pod has, or had: the next one is assigned anew."""
    patch = attempts.end_attempt(task, ended, pod, now, limits)
    if "attempt" not in patch.status:
        return patch
    cleared: JSONObject = dict.fromkeys(("pod", "assignedAt", "startedAt", "node"))
    return replace(patch, status={**patch.status, **cleared})
