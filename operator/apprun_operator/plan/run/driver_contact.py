"""A driver that runs, but is silent or says that its route doesn't yield. Neither must look like a
run that gets on.

A driver says `startedAt` a few seconds after its process began, unless it is done by then. Until it
has, nobody knows whether its pod may reach the API server: RoleBindings may have been pruned, or a
NetworkPolicy may hold it back.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire.reasons import NO_CONTACT, ROUTE_NOT_YIELDING
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse
from apprun_operator.plan.actions import EnsureNamespace
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.limits import ENSURE_AGAIN, SILENCE_BEFORE_ENSURE, SILENCE_BEFORE_TOLD
from apprun_operator.plan.run.stall import RUNNING

SECOND: Final = 1.0
"""Creation times are cut to whole seconds."""


def with_contact(
    observed: Observed, condition: RunCondition, driver: TaskRecord, now: float
) -> tuple[RunCondition, EnsureNamespace | None, float | None]:
    """What the status should say of a driver that runs; accounts and bindings to ensure; when to
    look again."""
    pod = observed.pods.get(driver.pod_name)
    if (
        condition != RUNNING
        or pod is None
        or pod.ended
        or pod.running_since is None
        or driver.reported_error is not None
    ):
        return condition, None, None
    if driver.progress:
        return RunCondition("Running", ROUTE_NOT_YIELDING, driver.progress), None, None
    # guard: driver-contact - a driver that can't reach the API server looks healthy to the kubelet
    if _was_heard(observed, driver, pod):
        return condition, None, None
    told_at = pod.running_since + SILENCE_BEFORE_TOLD
    ensure_at = max(pod.running_since + SILENCE_BEFORE_ENSURE, observed.ensured_at + ENSURE_AGAIN)
    ensure = EnsureNamespace(observed.run.meta.key, driver.pod_name) if now >= ensure_at else None
    later = ensure_at if ensure is None else now + ENSURE_AGAIN
    if now < told_at:
        return condition, ensure, min(told_at, later)
    return RunCondition("Running", NO_CONTACT, _words(observed, pod)), ensure, later


def _was_heard(observed: Observed, driver: TaskRecord, pod: PodRecord) -> bool:
    """Whether this attempt's process has reached the API server. Drivers of an older SDK show it by
    what they call."""
    if driver.started_at:
        return True
    began = pod.meta.created - SECOND
    last = observed.run.checkpoints[-1:]
    return any(parse(entry["at"]) >= began for entry in last) or any(
        task.meta.created >= began for task in observed.tasks.values() if task.role != "driver"
    )


def _words(observed: Observed, pod: PodRecord) -> str:
    namespace, name = pod.meta.key
    where = f" on node {pod.node}" if pod.node else ""
    return (
        f"pod {name!r} runs{where}, but has not reached the API server for more than {SILENCE_BEFORE_TOLD:g} s: a"
        f" NetworkPolicy, a missing RoleBinding or a service mesh may hold it back. `apprun doctor -n {namespace}`"
        f" looks for the cause, `kubectl logs -n {namespace} {name}` has the pod's own words"
    )
