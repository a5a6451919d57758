"""Shares the operator's limit of task pods between runs, and wakes a run whose turn it is.

The worker asks for a run's quota before each plan and reports the plan's claim after it;
`plan.fair_share` decides. One event loop owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import PodDemand
from apprun_operator.plan.fair_share import Demand, PodDemands
from apprun_operator.plan.limits import Limits


class SlotLimiter:
    """The slots for task pods, for one term of leadership.

    Args:
        limits: The operator's limits; without `max_pods` and `max_pods_per_namespace` every quota
            is unlimited.
        wake: Has a run planned again.
        occupied: How many task pods each run has when the term begins.
    """

    def __init__(self, limits: Limits, wake: Callable[[Key], None], occupied: Mapping[Key, int]) -> None:
        self._limits = limits
        self._wake = wake
        self._limited = bool(limits.max_pods or limits.max_pods_per_namespace)
        self._demands = PodDemands({key: Demand(count, count) for key, count in occupied.items()})
        self._slots_given = 0

    def quota(self, key: Key) -> PodQuota:
        """How many task pods this run may start now."""
        return self._demands.quota_for(key, self._limits) if self._limited else PodQuota()

    def update(self, key: Key, demand: PodDemand) -> None:
        """Record what a plan of this run claims, and wake the runs that may start a pod now."""
        if not self._limited:
            return
        before = self._demands.get(key)
        if demand.occupied > before.occupied:
            self._slots_given += 1
        served = self._slots_given if demand.occupied > before.occupied else before.served
        self._demands.put(key, Demand(demand.occupied, demand.wanted, served) if demand.wanted else Demand())
        if demand.occupied < before.occupied or demand.wanted < before.wanted:
            # No object of the other runs has changed, so nothing else would have them planned.
            for other in self._demands.next_places(self._limits):
                self._wake(other)
