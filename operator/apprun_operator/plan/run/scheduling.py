"""Which pods of a run are created now: as many as its parallelism and the operator's quota
leave."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from apprun_operator.observe.observed import Observed, PodQuota
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.times import parse
from apprun_operator.observe.workers import Offer
from apprun_operator.plan.actions import CreatePod, PodDemand
from apprun_operator.plan.limits import UNPLACED_PODS, Limits
from apprun_operator.plan.pod import pods
from apprun_operator.plan.pool.calls import offers_of
from apprun_operator.plan.run.app_resolution import parallelism
from apprun_operator.plan.run.calls import Calls
from apprun_operator.plan.run.parking import is_woken


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


def start_pods(
    observed: Observed, driver: TaskRecord, driver_wants_pod: bool, calls: Calls, limits: Limits
) -> PodStarts:
    """Create the driver's pod, if it needs one, then pods of waiting calls in the order in which
    the route made them.

    A suspended run starts none. One that is cancelled starts those of its clean-up although it is
    suspended. A driver that follows one that parked takes the place of a task pod until it runs:
    many runs may wake at the same time.
    """
    occupied = calls.pods + _wakes(observed, driver)
    if observed.run.suspend and observed.run.cancelled_at is None:
        return PodStarts([], PodDemand(occupied, occupied))
    allowed = parallelism(observed, limits)
    offers = _offers(observed, calls, allowed)
    quotas = [
        PodQuota(allowed - calls.occupied - len(offers), f"parallelism is {allowed}"),
        PodQuota(UNPLACED_PODS - calls.unplaced, f"{UNPLACED_PODS} pods of the run wait for a node already"),
    ]
    # What the run would start if no other run wanted pods: its demand, by which the quotas of all
    # are decided.
    without_others = min(len(calls.waiting), *(max(quota.places or 0, 0) for quota in quotas))
    wakes, withheld = int(driver_wants_pod and is_woken(driver)), False
    if observed.pod_quota.places is not None:
        # guard: wake-ups-share-places - a thousand runs that wake at midnight would start as many
        # drivers at once
        withheld = bool(wakes) and observed.pod_quota.places < 1
        driver_wants_pod = driver_wants_pod and not withheld
        places = max(observed.pod_quota.places - wakes, 0)
        quotas.append(PodQuota(places, observed.pod_quota.why))
    tightest = min(quotas, key=lambda quota: quota.places or 0)
    count = min(without_others, max(tightest.places or 0, 0))
    # With thousands of waiting calls only those that start are put in order, and the one after them.
    queue = heapq.nsmallest(count + 1, calls.waiting, key=_turn) if count else calls.waiting[:1]
    chosen, first_queued = queue[:count], queue[count:]
    queued = len(calls.waiting) - count
    tasks = [*([driver] if driver_wants_pod else []), *chosen]
    return PodStarts(
        [pods.pod(observed.run, task, limits, observed.state) for task in tasks],
        PodDemand(occupied + count + (wakes and driver_wants_pod), occupied + without_others + wakes),
        offers,
        queued + len(calls.offered) - len(offers),
        tightest.why if queued or withheld else "",
        first_queued[0].meta.created if queued else parse(driver.attempts[-1]["finishedAt"]) if withheld else 0.0,
    )


def _wakes(observed: Observed, driver: TaskRecord) -> int:
    """1 if the pod of a driver that follows a parked one is there, but doesn't run yet."""
    if not is_woken(driver):
        return 0
    pod = observed.pods.get(driver.pod_name)
    if pod is None:
        return int(driver.pod_name in observed.in_flight)
    return int(not pod.running and not pod.gone)


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
