"""Who gets the next places for pods, when there are fewer than the runs want."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import LIMITS

from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.records import Key
from apprun_operator.plan.fair_share import EVERYTHING, Demand, PodDemands
from apprun_operator.plan.limits import Limits

A, B, C = (Key("default", name) for name in "abc")
ELSEWHERE = Key("other", "d")


def limits(total: int = 0, per_namespace: int = 0) -> Limits:
    return replace(LIMITS, max_pods=total, max_pods_per_namespace=per_namespace)


def quota_for(key: Key, given: Limits, demands: Mapping[Key, Demand]) -> PodQuota:
    return PodDemands(demands).quota_for(key, given)


def next_places(given: Limits, demands: Mapping[Key, Demand]) -> Counter[Key]:
    return PodDemands(demands).next_places(given)


def test_without_limits_there_is_room_for_everything() -> None:
    assert quota_for(A, LIMITS, {B: Demand(5000, 9000)}) == PodQuota()


def test_free_places_go_to_whoever_has_the_fewest_pods() -> None:
    assert next_places(limits(10), {A: Demand(6, 100), B: Demand(1, 100)}) == {B: 3}


def test_run_that_wants_little_gets_it_and_leaves_the_rest() -> None:
    assert next_places(limits(10), {A: Demand(0, 100), B: Demand(0, 2)}) == {A: 8, B: 2}


def test_a_small_run_gets_its_place_as_soon_as_a_large_one_gives_one_back() -> None:
    full = {A: Demand(10, 10_000), B: Demand(0, 1)}
    assert quota_for(B, limits(10), full).places == 0
    after = {A: Demand(9, 10_000), B: Demand(0, 1)}
    assert quota_for(A, limits(10), after).places == 0
    assert quota_for(B, limits(10), after).places == 1


def test_with_fewer_places_than_runs_they_take_turns() -> None:
    assert next_places(limits(1), {A: Demand(0, 5, served=2), B: Demand(0, 5, served=1)}) == {B: 1}


def test_namespace_that_is_full_leaves_places_to_others() -> None:
    demands = {A: Demand(3, 9), B: Demand(1, 9), ELSEWHERE: Demand(2, 9)}
    assert next_places(limits(10, per_namespace=4), demands) == {ELSEWHERE: 2}


def test_run_is_told_which_limit_it_meets() -> None:
    assert "in namespace 'default'" in quota_for(A, limits(100, 4), {A: Demand(4, 9)}).why
    assert quota_for(A, limits(4, 100), {A: Demand(4, 9)}).why.startswith("the operator allows 4 task pods at a time,")


def test_no_more_is_given_though_a_limit_was_lowered_below_what_runs() -> None:
    assert not next_places(limits(3), {A: Demand(7, 9)})


KEYS = st.sampled_from([A, B, C, ELSEWHERE])
DEMANDS = st.dictionaries(KEYS, st.builds(Demand, st.integers(0, 20), st.integers(0, 40), st.integers(0, 3)))


@given(DEMANDS, st.integers(1, 60), st.integers(1, 60))
def test_nobody_is_given_more_than_it_wants_nor_more_than_there_is(
    demands: Mapping[Key, Demand], total: int, per_namespace: int
) -> None:
    given_away = next_places(limits(total, per_namespace), demands)
    occupied = sum(demand.occupied for demand in demands.values())
    assert sum(given_away.values()) <= max(total - occupied, 0)
    for key, count in given_away.items():
        assert demands[key].occupied + count <= demands[key].wanted
    for namespace in ("default", "other"):
        inside = sum(d.occupied + given_away[k] for k, d in demands.items() if k.namespace == namespace)
        already = sum(d.occupied for k, d in demands.items() if k.namespace == namespace)
        assert inside <= max(per_namespace, already)


@given(DEMANDS, st.integers(1, 60))
def test_no_place_stays_free_while_somebody_wants_it(demands: Mapping[Key, Demand], total: int) -> None:
    given_away = next_places(limits(total), demands)
    left = total - sum(d.occupied for d in demands.values()) - sum(given_away.values())
    hungry = any(d.wanted > d.occupied + given_away[key] for key, d in demands.items())
    assert left <= 0 or not hungry


def recounted(limits: Limits, demands: Mapping[Key, Demand]) -> Counter[Key]:
    """The free places, given away by looking at every run."""
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


CHANGES = st.lists(st.tuples(KEYS, st.builds(Demand, st.integers(0, 20), st.integers(0, 40), st.integers(0, 3))))


@given(CHANGES, KEYS, st.integers(1, 80), st.integers(0, 60))
def test_demands_kept_through_changes_equal_a_recount(
    changes: Sequence[tuple[Key, Demand]], asking: Key, total: int, per_namespace: int
) -> None:
    kept, plain = PodDemands({}), dict[Key, Demand]()
    for key, demand in changes:
        kept.put(key, demand)
        plain[key] = demand
        bounds = limits(total, per_namespace)
        assert kept.next_places(bounds) == recounted(bounds, plain)
        greedy = {**plain, asking: replace(plain.get(asking, Demand()), wanted=EVERYTHING)}
        assert kept.quota_for(asking, bounds).places == recounted(bounds, greedy)[asking]
