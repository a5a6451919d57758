"""Assigns waiting calls to pods: the next place goes to the run with the fewest calls, in the pod
with the fewest calls. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Final

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import MAX_INBOX_BYTES, ReuseFields
from apprun_operator.observe.records import Key
from apprun_operator.observe.times import rfc3339
from apprun_operator.observe.workers import PendingAssignment, PoolCall, PoolObserved
from apprun_operator.plan.actions import PatchTask
from apprun_operator.plan.pool.actions import PatchCall
from apprun_operator.plan.pool.inbox import size_of
from apprun_operator.plan.pool.pods import WarmPod

AHEAD: Final = 1
"""How many calls may wait in a pod's inbox behind those that it executes. Such a call begins as
soon as another one ends, without a message to the pod in between."""


def waiting_calls(observed: PoolObserved) -> list[PoolCall]:
    """The calls that may be assigned: their runs offer them, and no pod has been given them."""
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
    """Assign waiting calls as long as there are places, each to the pod with the fewest calls.

    Runs take turns: the next place goes to the run with the fewest calls in the pool. So a run with
    thousands of calls delays another one by one call at most.
    """
    places = _places(observed, pods, reuse)
    assignments: list[PatchCall] = []
    for call in _by_turns(waiting, pods):
        while places:
            load, position, size = heapq.heappop(places)
            if load and size + size_of(call) > MAX_INBOX_BYTES:
                # Its inbox has no room for this call. The pod takes calls again in a later pass.
                continue
            assignments.append(_assignment(call, pods[position], now))
            if load + 1 < _capacity(observed, pods[position], reuse):
                heapq.heappush(places, (load + 1, position, size + size_of(call)))
            break
        if not places:
            break
    return assignments


def _places(observed: PoolObserved, pods: Sequence[WarmPod], reuse: ReuseFields) -> list[tuple[int, int, int]]:
    """The pods with room: the number of calls of each, its position in `pods`, and the bytes of its
    calls."""
    places = [
        (warm.load, position, sum(map(size_of, warm.calls)) + sum(each.size for each in warm.assigning))
        for position, warm in enumerate(pods)
        if warm.usable and warm.load < _capacity(observed, warm, reuse)
    ]
    heapq.heapify(places)
    return places


def _capacity(observed: PoolObserved, warm: WarmPod, reuse: ReuseFields) -> int:
    """How many calls a pod may have: those that it executes at a time, and one ahead.

    A pod that hasn't answered a call yet may still be importing the app, so none waits ahead in it.
    """
    # guard: prefetch-behind-short - a call would wait for an hour behind another one, while other
    # pods are idle
    is_long = any(call.task.started_at for call in warm.calls)
    ahead = AHEAD if warm.pod.meta.uid in observed.proven and not is_long else 0
    capacity = reuse["concurrency"] + ahead
    return capacity if warm.max_calls is None else min(capacity, warm.load + warm.max_calls - warm.given)


def _by_turns(waiting: Sequence[PoolCall], pods: Sequence[WarmPod]) -> list[PoolCall]:
    """The waiting calls, so that the run with the fewest assigned calls always comes next."""
    assigned: Counter[Key] = Counter(call.run.meta.key for warm in pods for call in warm.calls)
    assigned.update(each.run for warm in pods for each in warm.assigning)
    by_run: dict[Key, list[PoolCall]] = {}
    for call in sorted(waiting, key=lambda call: (call.task.sequence, call.task.key), reverse=True):
        by_run.setdefault(call.run.meta.key, []).append(call)
    turns = [(assigned[run], run) for run in by_run]
    heapq.heapify(turns)
    queue: list[PoolCall] = []
    while turns:
        count, run = heapq.heappop(turns)
        queue.append(by_run[run].pop())
        if by_run[run]:
            heapq.heappush(turns, (count + 1, run))
    return queue


def _assignment(call: PoolCall, warm: WarmPod, now: float) -> PatchCall:
    """The write that assigns a call to a pod.

    It comes before the write to the pod's inbox. A crash in between leaves an assigned call that
    the inbox lacks, and the next pass of any leader writes the inbox.
    """
    status: JSONObject = {
        "phase": "Active",
        "attempt": call.task.attempt,
        "pod": {"name": warm.name, "uid": warm.pod.meta.uid},
        "assignedAt": rfc3339(now),
    }
    if call.task.phase == "Waiting":
        status["message"] = None
    run, task = call.run.meta.key, call.task.meta
    assigning = PendingAssignment(run, task.key, warm.pod.meta.uid, size_of(call))
    return PatchCall(run, PatchTask(task.key, task.version, status), assigning)
