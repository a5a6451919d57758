"""Which pods of a run are created now: as many as its parallelism and the operator's quota
leave."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from apprun_operator.observe.observed import Observed, PodQuota
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.workers import Offer
from apprun_operator.plan.actions import CreatePod, PodDemand
from apprun_operator.plan.limits import UNPLACED_PODS, Limits
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pool.calls import offers_of
from apprun_operator.plan.run.app_resolution import parallelism
from apprun_operator.plan.run.calls import Calls


@dataclass(frozen=True, slots=True)
class PodStarts:
    """The pods to create, and the calls that have to wait for their turn."""

    pods: Sequence[CreatePod]
    demand: PodDemand
    offers: Sequence[Offer] = ()
    """The calls that may start in warm pods."""
    queued: int = 0
    """How many calls wait for their turn."""
    why: str = ""
    """The limit that they wait for; empty when none waits."""
    since: float = 0.0
    """Since when one of the first among them waits."""


def start_pods(observed: Observed, driver: TaskRecord | None, calls: Calls, limits: Limits) -> PodStarts:
    """Create the driver's pod, if it needs one, then pods of waiting calls in the order in which
    the route made them.

    A suspended run starts none. One that is cancelled starts those of its clean-up although it is
    suspended.
    """
    if observed.run.suspend and observed.run.cancelled_at is None:
        return PodStarts([], PodDemand(calls.pods, calls.pods))
    allowed = parallelism(observed, limits)
    offers = _offers(observed, calls, allowed)
    quotas = [
        PodQuota(allowed - calls.occupied - len(offers), f"parallelism is {allowed}"),
        PodQuota(UNPLACED_PODS - calls.unplaced, f"{UNPLACED_PODS} pods of the run wait for a node already"),
    ]
    # What the run would start if no other run wanted pods: its demand, by which the quotas of all
    # are decided.
    without_others = min(len(calls.waiting), *(max(quota.places or 0, 0) for quota in quotas))
    if observed.pod_quota.places is not None:
        quotas.append(observed.pod_quota)
    tightest = min(quotas, key=lambda quota: quota.places or 0)
    count = min(without_others, max(tightest.places or 0, 0))
    # With thousands of waiting calls only those that start are put in order, and the one after them.
    queue = heapq.nsmallest(count + 1, calls.waiting, key=_turn) if count else calls.waiting[:1]
    chosen, first_queued = queue[:count], queue[count:]
    queued = len(calls.waiting) - count
    tasks = [*([] if driver is None else [driver]), *chosen]
    return PodStarts(
        [pods.pod(observed.run, task, limits, observed.state) for task in tasks],
        PodDemand(calls.pods + count, calls.pods + without_others),
        offers,
        queued + len(calls.offered) - len(offers),
        tightest.why if queued else "",
        first_queued[0].meta.created if queued else 0.0,
    )


def _turn(task: TaskRecord) -> tuple[int, str]:
    """The place of a call in the route's order."""
    return task.sequence, task.key


def _offers(observed: Observed, calls: Calls, allowed: int) -> list[Offer]:
    """The calls that may start in warm pods.

    They stand in one queue with the calls that need their own pods, in the route's order.
    """
    places = max(allowed - calls.occupied, 0)
    if not calls.offered or not places:
        return []
    queue = heapq.nsmallest(places, [*calls.waiting, *calls.offered], key=_turn)
    return offers_of(observed, [task for task in queue if task.reuse is not None])
