"""Which waiting call goes to which pod: the fewest calls first, by runs and by pods. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Final

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import MAX_INBOX_BYTES, ReuseFields
from apprun_operator.observe.records import Key
from apprun_operator.observe.times import rfc3339
from apprun_operator.observe.workers import PoolCall, PoolObserved
from apprun_operator.plan.actions import PatchTask
from apprun_operator.plan.pool.actions import PatchCall
from apprun_operator.plan.pool.inbox import size_of
from apprun_operator.plan.pool.pods import WarmPod

AHEAD: Final = 1
"""So many calls may wait in a pod's inbox while it executes others: they begin without a message in between."""


def waiting_calls(observed: PoolObserved) -> list[PoolCall]:
    """Calls that may be assigned: offered by their runs, and not given to a pod meanwhile."""
    return [
        call
        for offer, call in observed.offers
        if call.task.at_work
        and not call.task.assigned_uid
        and call.id == (offer.uid, offer.attempt)
        and call.task.meta.key not in observed.tasks_in_flight
    ]


def assign(
    observed: PoolObserved, waiting: Sequence[PoolCall], pods: Sequence[WarmPod], reuse: ReuseFields, now: float
) -> list[PatchCall]:
    """As many of the waiting calls as there are places, each to the pod with the fewest calls.

    Runs take turns: the next place goes to the run with the fewest calls in the pool, so that one with thousands of
    calls delays another by one at most.
    """
    places = _places(observed, pods, reuse)
    chosen: list[PatchCall] = []
    queue = _by_turns(waiting, pods)
    full: list[tuple[int, int, int]] = []
    for call in queue:
        while places:
            load, slot, size = heapq.heappop(places)
            if load and size + size_of(call) > MAX_INBOX_BYTES:
                full.append((load, slot, size))
                continue
            chosen.append(_assignment(call, pods[slot], now))
            if load + 1 < _most(observed, pods[slot], reuse):
                heapq.heappush(places, (load + 1, slot, size + size_of(call)))
            break
        if not places:
            break
    return chosen


def _places(observed: PoolObserved, pods: Sequence[WarmPod], reuse: ReuseFields) -> list[tuple[int, int, int]]:
    """Pods with room: how many calls each has, its place in `pods`, and the bytes of its calls."""
    places = [
        (len(warm.calls), place, sum(size_of(call) for call in warm.calls))
        for place, warm in enumerate(pods)
        if warm.usable and len(warm.calls) < _most(observed, warm, reuse)
    ]
    heapq.heapify(places)
    return places


def _most(observed: PoolObserved, warm: WarmPod, reuse: ReuseFields) -> int:
    """How many calls a pod may have. One that has never answered may still be importing the app; and
    nobody waits behind a call that is known to take long."""
    # guard: prefetch-behind-short - a call would wait behind one of an hour while another pod is idle
    long = any(call.task.started_at for call in warm.calls)
    ahead = AHEAD if warm.pod.meta.uid in observed.proven and not long else 0
    most = reuse["concurrency"] + ahead
    return most if warm.max_calls is None else min(most, len(warm.calls) + warm.max_calls - warm.given)


def _by_turns(waiting: Sequence[PoolCall], pods: Sequence[WarmPod]) -> list[PoolCall]:
    has: Counter[Key] = Counter(call.run.meta.key for warm in pods for call in warm.calls)
    by_run: dict[Key, list[PoolCall]] = {}
    for call in sorted(waiting, key=lambda call: (call.task.sequence, call.task.key), reverse=True):
        by_run.setdefault(call.run.meta.key, []).append(call)
    turns = [(has[run], run) for run in by_run]
    heapq.heapify(turns)
    queue: list[PoolCall] = []
    while turns:
        count, run = heapq.heappop(turns)
        queue.append(by_run[run].pop())
        if by_run[run]:
            heapq.heappush(turns, (count + 1, run))
    return queue


def _assignment(call: PoolCall, warm: WarmPod, now: float) -> PatchCall:
    """Written before the pod is told: a crash in between leaves an assignment that the inbox lacks, and
    whoever finds that writes the inbox."""
    status: JSONObject = {
        "phase": "Active",
        "attempt": call.task.attempt,
        "pod": {"name": warm.name, "uid": warm.pod.meta.uid},
        "assignedAt": rfc3339(now),
    }
    if call.task.phase == "Waiting":
        status["message"] = None
    return PatchCall(call.run.meta.key, PatchTask(call.task.meta.key, call.task.meta.version, status))
