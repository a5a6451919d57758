"""Places for pods as runs come, grow and end: who may start, who is woken."""

from __future__ import annotations

from dataclasses import replace

from tests.support.records import LIMITS

from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.records import Key
from apprun_operator.plan.actions import PodDemand
from apprun_operator.reconcile.pod_quota import SlotLimiter

LARGE, SMALL = Key("default", "large"), Key("default", "small")


class Desk:
    """Shares of four places, and who was woken."""

    def __init__(self, places: int = 4, **occupied: int) -> None:
        self.woken: list[Key] = []
        there = {Key("default", name): count for name, count in occupied.items()}
        self.slots = SlotLimiter(replace(LIMITS, max_pods=places), self.woken.append, there)


def test_pods_of_an_earlier_term_are_counted_before_any_plan() -> None:
    desk = Desk(large=3)
    assert desk.slots.quota(SMALL).places == 1


def test_run_that_waits_is_woken_when_another_gives_a_place_back() -> None:
    desk = Desk()
    desk.slots.update(LARGE, PodDemand(4, 1000))
    desk.slots.update(SMALL, PodDemand(0, 1))
    assert not desk.woken
    desk.slots.update(LARGE, PodDemand(3, 1000))
    assert desk.woken == [SMALL]


def test_run_that_is_gone_gives_its_places_back() -> None:
    desk = Desk()
    desk.slots.update(LARGE, PodDemand(4, 1000))
    desk.slots.update(SMALL, PodDemand(0, 3))
    desk.slots.update(LARGE, PodDemand())
    assert desk.woken == [SMALL]
    assert desk.slots.quota(SMALL).places == 4


def test_runs_take_turns_for_a_single_place() -> None:
    desk = Desk(places=1)
    order = []
    for key in (LARGE, SMALL):
        desk.slots.update(key, PodDemand(0, 1000))
    for _ in range(4):
        (key,) = [key for key in (LARGE, SMALL) if desk.slots.quota(key).places]
        order.append(key)
        desk.slots.update(key, PodDemand(1, 1000))
        desk.slots.update(key, PodDemand(0, 999))
    assert order in ([LARGE, SMALL] * 2, [SMALL, LARGE] * 2)


def test_without_limits_nothing_is_counted_and_nobody_woken() -> None:
    desk = Desk(places=0)
    desk.slots.update(LARGE, PodDemand(4, 1000))
    desk.slots.update(LARGE, PodDemand(0, 0))
    assert desk.slots.quota(SMALL) == PodQuota()
    assert not desk.woken
