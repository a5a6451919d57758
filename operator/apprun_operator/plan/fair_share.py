"""Shares the operator's limit of task pods between runs. Pure.

Each free place goes to the run that has the fewest pods, and among those to the run that has been
given none for the longest time. No pod is ended for it: a run with more than its share starts
nothing until the others have caught up.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

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


def quota_for(key: Key, limits: Limits, demands: Mapping[Key, Demand]) -> PodQuota:
    """How many more task pods this run may start now, whatever it wants."""
    if not (limits.max_pods or limits.max_pods_per_namespace):
        return PodQuota()
    mine = demands.get(key, Demand())
    granted = next_places(limits, {**demands, key: replace(mine, wanted=EVERYTHING)})
    occupied = granted + Counter({other: demand.occupied for other, demand in demands.items()})
    neighbours = sum(count for other, count in occupied.items() if other.namespace == key.namespace)
    if limits.max_pods_per_namespace and neighbours >= limits.max_pods_per_namespace:
        where = f"{limits.max_pods_per_namespace} task pods at a time in namespace {key.namespace!r}"
    else:
        where = f"{limits.max_pods} task pods at a time"
    return PodQuota(granted[key], f"the operator allows {where}, and shares them between runs")


def next_places(limits: Limits, demands: Mapping[Key, Demand]) -> Counter[Key]:
    """How many of the free places each run is given."""
    free = (limits.max_pods or EVERYTHING) - sum(demand.occupied for demand in demands.values())
    taken: Counter[str] = Counter()
    for key, demand in demands.items():
        taken[key.namespace] += demand.occupied
    granted: Counter[Key] = Counter()
    queue = [(d.occupied, d.served, key, d.wanted) for key, d in demands.items() if d.wanted > d.occupied]
    heapq.heapify(queue)
    while queue and free > 0:
        occupied, served, key, wanted = heapq.heappop(queue)
        if taken[key.namespace] >= (limits.max_pods_per_namespace or EVERYTHING):
            continue
        granted[key] += 1
        taken[key.namespace] += 1
        free -= 1
        if occupied + 1 < wanted:
            heapq.heappush(queue, (occupied + 1, served, key, wanted))
    return granted
