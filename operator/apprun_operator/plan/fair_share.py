"""Shares the operator's limit of task pods between runs. No I/O.

Each free place goes to the run that has the fewest pods, and among those to the run that has been
given none for the longest time. No pod is ended for it: a run with more than its share starts
nothing until the others have caught up.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.records import Key
from apprun_operator.plan.limits import Limits

EVERYTHING: Final = 1_000_000
"""More places than any run has."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Task pods of one run: how many it has, and how many it would have if no other run wanted
    any."""

    occupied: int = 0
    wanted: int = 0
    served: int = 0
    """When it was last given a place, by a count of all places given."""


Claim: TypeAlias = tuple[int, int, Key, int]
"""A run that wants more pods than it has: occupied, served, key, wanted. The least is served
first."""


class PodDemands:
    """The demands of all runs, kept so that a decision costs what can start, however many runs
    wait.

    Args:
        demands: The demands to begin with.
    """

    def __init__(self, demands: Mapping[Key, Demand]) -> None:
        self._demands: dict[Key, Demand] = {}
        self._occupied = 0
        self._occupied_in: Counter[str] = Counter()
        self._claims: dict[str, list[Claim]] = {}
        """The runs that want more, by namespace, in the order in which they are served."""
        for key, demand in demands.items():
            self.put(key, demand)

    def get(self, key: Key) -> Demand:
        """The demand of this run; none if it isn't known."""
        return self._demands.get(key, Demand())

    def put(self, key: Key, demand: Demand) -> None:
        """Replace the demand of a run. A run that wants nothing and has nothing is forgotten."""
        self._drop(key)
        if not (demand.occupied or demand.wanted):
            return
        self._demands[key] = demand
        self._occupied += demand.occupied
        self._occupied_in[key.namespace] += demand.occupied
        if demand.wanted > demand.occupied:
            insort(self._claims.setdefault(key.namespace, []), _claim(key, demand))

    def _drop(self, key: Key) -> None:
        demand = self._demands.pop(key, None)
        if demand is None:
            return
        self._occupied -= demand.occupied
        self._occupied_in[key.namespace] -= demand.occupied
        if not self._occupied_in[key.namespace]:
            del self._occupied_in[key.namespace]
        if demand.wanted > demand.occupied:
            claims = self._claims[key.namespace]
            del claims[bisect_left(claims, _claim(key, demand))]
            if not claims:
                del self._claims[key.namespace]

    def quota_for(self, key: Key, limits: Limits) -> PodQuota:
        """How many more task pods this run may start now, whatever it wants."""
        if not (limits.max_pods or limits.max_pods_per_namespace):
            return PodQuota()
        granted = self._grant(limits, key)
        neighbours = sum(count for other, count in granted.items() if other.namespace == key.namespace)
        neighbours += self._occupied_in.get(key.namespace, 0)
        if limits.max_pods_per_namespace and neighbours >= limits.max_pods_per_namespace:
            where = f"{limits.max_pods_per_namespace} task pods at a time in namespace {key.namespace!r}"
        else:
            where = f"{limits.max_pods} task pods at a time"
        return PodQuota(granted[key], f"the operator allows {where}, and shares them between runs")

    def next_places(self, limits: Limits) -> Counter[Key]:
        """How many of the free places each run is given."""
        return self._grant(limits, None)

    def _grant(self, limits: Limits, greedy: Key | None) -> Counter[Key]:
        """Give the free places away, as if `greedy` wanted any number."""
        granted: Counter[Key] = Counter()
        free = (limits.max_pods or EVERYTHING) - self._occupied
        per_namespace = limits.max_pods_per_namespace or EVERYTHING
        if free <= 0:
            return granted
        taken: Counter[str] = Counter()
        # Each namespace's claims are sorted, so only their first ones compete. A claim that isn't
        # the next of its namespace, but comes again, has no successor: it has the place -1.
        queue: list[tuple[Claim, int]] = []
        for namespace, claims in self._claims.items():
            if self._occupied_in.get(namespace, 0) < per_namespace:
                _push_next(queue, claims, 0, greedy)
        if greedy is not None:
            mine = self.get(greedy)
            heapq.heappush(queue, ((mine.occupied, mine.served, greedy, EVERYTHING), -1))
        while queue and free > 0:
            (occupied, served, key, wanted), place = heapq.heappop(queue)
            namespace = key.namespace
            if self._occupied_in.get(namespace, 0) + taken[namespace] >= per_namespace:
                continue
            granted[key] += 1
            taken[namespace] += 1
            free -= 1
            if place >= 0:
                _push_next(queue, self._claims[namespace], place + 1, greedy)
            if occupied + 1 < wanted:
                heapq.heappush(queue, ((occupied + 1, served, key, wanted), -1))
        return granted


def _claim(key: Key, demand: Demand) -> Claim:
    return demand.occupied, demand.served, key, demand.wanted


def _push_next(queue: list[tuple[Claim, int]], claims: list[Claim], place: int, greedy: Key | None) -> None:
    """Queue the claim at `place`, or the one behind it if that is the claim of `greedy`."""
    if place < len(claims) and claims[place][2] == greedy:
        place += 1
    if place < len(claims):
        heapq.heappush(queue, (claims[place], place))
