"""What each run has of the places for task pods, and who is woken when one gets free. The worker asks before each plan
and tells after it; `plan.run.scheduling` decides. One event loop owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import PodDemand
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.run.scheduling import Demand, next_places, room_for


class Shares:
    """Of one term. `wake` has a run planned again."""

    def __init__(self, limits: Limits, wake: Callable[[Key], None], occupied: Mapping[Key, int]) -> None:
        self._limits = limits
        self._wake = wake
        self._limited = bool(limits.max_pods or limits.max_pods_per_namespace)
        self._demands = {key: Demand(count, count) for key, count in occupied.items()}
        self._given = 0

    def room(self, key: Key) -> PodQuota:
        """How many task pods this run may start now."""
        return room_for(key, self._limits, self._demands) if self._limited else PodQuota()

    def note(self, key: Key, claim: PodDemand) -> None:
        """What a plan of this run has come to. Whoever may start a pod now is woken."""
        if not self._limited:
            return
        before = self._demands.pop(key, Demand())
        if claim.occupied > before.occupied:
            self._given += 1
        served = self._given if claim.occupied > before.occupied else before.served
        if claim.wanted:
            self._demands[key] = Demand(claim.occupied, claim.wanted, served)
        if claim.occupied < before.occupied or claim.wanted < before.wanted:
            for other in next_places(self._limits, self._demands):
                self._wake(other)
