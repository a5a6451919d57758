"""The pods of a pool, each read once a pass: what it is good for, and which open calls it has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.workers import PoolCall, PoolObserved, WorkerRecord
from apprun_operator.plan.call import pod_status
from apprun_operator.plan.call.pod_status import PodBlocked, PodEnded, Reading
from apprun_operator.plan.limits import Limits


@dataclass(frozen=True, slots=True)
class WarmPod:
    """A pod with its inbox and its open calls, in the order of their assignment."""

    pod: PodRecord
    worker: WorkerRecord
    reading: Reading
    calls: Sequence[PoolCall]
    given: int = 0
    """How many attempts were assigned to it so far."""
    max_calls: int | None = None
    """After how many it ends by itself."""

    @property
    def name(self) -> str:
        return self.pod.meta.key.name

    @property
    def ended(self) -> PodEnded | None:
        """Why it executes nothing any more; None while it may."""
        return self.reading if isinstance(self.reading, PodEnded) else None

    @property
    def look_at(self) -> float | None:
        """When to look at it again, though nobody tells anything of it."""
        return None if isinstance(self.reading, PodEnded) else self.reading.wake_at

    @property
    def leaving(self) -> bool:
        """It is given no further call."""
        # guard: max-calls-counted - a call would be assigned to a pod that ends before it begins the call
        used_up = self.max_calls is not None and self.given >= self.max_calls
        return used_up or self.worker.drain or self.pod.deletion_at is not None or bool(self.pod.disruption)

    @property
    def usable(self) -> bool:
        """It can be given calls."""
        return self.pod.running and not (self.leaving or isinstance(self.reading, PodEnded | PodBlocked))

    @property
    def live(self) -> bool:
        """It counts as one of the pool's pods."""
        return not (self.leaving or isinstance(self.reading, PodEnded))


def in_order(calls: Sequence[PoolCall]) -> list[PoolCall]:
    """By the time of their assignment: a worker executes them so."""
    return sorted(calls, key=lambda call: (call.task.assigned_at, call.task.sequence, call.task.meta.uid))


def pods_of(observed: PoolObserved, now: float, limits: Limits, max_calls: int | None = None) -> list[WarmPod]:
    """Those that belong to an inbox of the pool, by slot. A pod of another owner isn't one of them.

    `max_calls` is the pool's own: after so many calls a pod ends by itself.
    """
    pods: list[WarmPod] = []
    for name, worker in sorted(observed.workers.items(), key=lambda item: item[1].slot):
        pod = observed.pods.get(name)
        # guard: warm-pod-of-inbox - a pod that somebody else made under that name would be given calls
        if pod is None or pod.meta.owner_uid != worker.meta.uid:
            continue
        mine = [call for call in observed.assigned.get(name, ()) if call.task.assigned_uid == pod.meta.uid]
        reading = pod_status.of_pod(pod, now, limits)
        given = observed.given.get(pod.meta.uid, 0)
        pods.append(WarmPod(pod, worker, reading, in_order(mine), given, max_calls))
    return pods


def lost_calls(observed: PoolObserved, pods: Sequence[WarmPod]) -> list[PoolCall]:
    """Open calls that are assigned to a pod that isn't there: it was deleted, or is another one by now."""
    there = {(warm.name, warm.pod.meta.uid) for warm in pods}
    return [
        call
        for name, calls in sorted(observed.assigned.items())
        for call in in_order(calls)
        if (name, call.task.assigned_uid) not in there
    ]
