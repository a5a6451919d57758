"""Stray pods: task pods that no open call accounts for, such as those of a deleted or replaced run.

They are being deleted, and no attempt depends on them. Until they are gone they use the nodes as
any other pod does, so they count against the operator's limits. Drivers are never counted. Neither
are the pods of committed calls: the report is the completion, and such a pod has nothing left to
do.
"""

from __future__ import annotations

from collections.abc import Iterable

from application_sdk.wire import names
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.plan.actions import PodDemand
from apprun_operator.plan.call.pod_status import is_stopped
from apprun_operator.plan.limits import DELETION_SLACK


def stray_pods(observed: Observed) -> list[PodRecord]:
    """The task pods of a run at work that aren't the current attempt of an open call."""
    strays: list[PodRecord] = []
    for name, pod in observed.pods.items():
        task = observed.tasks.get(pod.task)
        if (task is None or name != task.pod_name) and pod.task not in observed.committed_tasks:
            strays.append(pod)
    return strays


def occupancy(run: str, pods: Iterable[PodRecord], now: float) -> tuple[int, float | None]:
    """How many of these pods of `run` occupy a place, and when the next of them is given up.

    A pod on a lost node may stay forever. Past the grace of its deletion it counts as gone, as it
    does wherever an attempt is decided: else one dead node could hold every place that the limits
    leave.
    """
    driver = names.driver_task_name(run)
    present = [pod for pod in pods if pod.task != driver and not is_stopped(pod, now)]
    released_at = [pod.deletion_at + DELETION_SLACK for pod in present if pod.deletion_at is not None]
    return len(present), min(released_at, default=None)


def remaining_demand(run: str, pods: Iterable[PodRecord], now: float) -> tuple[PodDemand, float | None]:
    """The claim of a run that starts no further pods, and when to look again."""
    occupied, released_at = occupancy(run, pods, now)
    return PodDemand(occupied, occupied), released_at
