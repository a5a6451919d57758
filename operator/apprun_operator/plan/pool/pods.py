"""The pods of a pool in one pass of the plan: the state of each, and its open calls. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.workers import PendingAssignment, PoolCall, PoolObserved, WorkerRecord
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
    assigning: Sequence[PendingAssignment] = ()
    """The calls that requests in flight assign to it."""
    given: int = 0
    """How many attempts were assigned to it so far."""
    max_calls: int | None = None
    """After how many it ends by itself."""
    draining: bool = False
    """Whether the write that tells it to drain is in flight."""

    @property
    def name(self) -> str:
        return self.pod.meta.key.name

    @property
    def load(self) -> int:
        """How many calls it has, those that are being assigned included."""
        return len(self.calls) + len(self.assigning)

    @property
    def ended(self) -> PodEnded | None:
        """Why the pod executes nothing any more; None while it may."""
        return self.reading if isinstance(self.reading, PodEnded) else None

    @property
    def look_at(self) -> float | None:
        """When to look at the pod again, if no event of it comes before."""
        return None if isinstance(self.reading, PodEnded) else self.reading.wake_at

    @property
    def leaving(self) -> bool:
        """Whether the pod is given no further calls."""
        # guard: max-calls-counted - a call would be assigned to a pod that ends before it begins
        # the call
        used_up = self.max_calls is not None and self.given >= self.max_calls
        # guard: draining-in-flight - a call would be assigned to a pod that is about to be deleted
        drains = self.worker.drain or self.draining
        return used_up or drains or self.pod.deletion_at is not None or bool(self.pod.disruption)

    @property
    def usable(self) -> bool:
        """Whether the pod can be given calls."""
        return self.pod.running and not (self.leaving or isinstance(self.reading, PodEnded | PodBlocked))

    @property
    def live(self) -> bool:
        """Whether the pod counts towards the pool's size. One that drains or is deleted doesn't."""
        return not (self.leaving or isinstance(self.reading, PodEnded))


def in_order(calls: Sequence[PoolCall]) -> list[PoolCall]:
    """The calls in the order of their assignment, in which a worker begins them."""
    return sorted(calls, key=lambda call: (call.task.assigned_at, call.task.sequence, call.task.meta.uid))


def pods_of(observed: PoolObserved, now: float, limits: Limits, max_calls: int | None = None) -> list[WarmPod]:
    """The pods that belong to an inbox of the pool, by slot. Each ends by itself after `max_calls`."""
    pods: list[WarmPod] = []
    for name, worker in sorted(observed.workers.items(), key=lambda item: item[1].slot):
        pod = observed.pods.get(name)
        # guard: warm-pod-of-inbox - a pod that somebody else created under that name would be given
        # calls
        if pod is None or pod.meta.owner_uid != worker.meta.uid:
            continue
        calls = [call for call in observed.assigned.get(name, ()) if call.task.assigned_uid == pod.meta.uid]
        reading = pod_status.of_pod(pod, now, limits)
        known = {call.task.meta.key for call in calls}
        # guard: assignments-in-flight - each pass would assign one more call to the same place until
        # the first request is answered
        assigning = [each for each in observed.assigning if each.pod_uid == pod.meta.uid and each.task not in known]
        given = observed.given.get(pod.meta.uid, 0) + len(assigning)
        draining = pod.meta.uid in observed.memory.draining and name in observed.in_flight
        pods.append(WarmPod(pod, worker, reading, in_order(calls), assigning, given, max_calls, draining))
    return pods


def lost_calls(observed: PoolObserved, pods: Sequence[WarmPod]) -> list[PoolCall]:
    """The open calls whose pod was deleted, or has been replaced by another one of its name."""
    present = {(warm.name, warm.pod.meta.uid) for warm in pods}
    return [
        call
        for name, calls in sorted(observed.assigned.items())
        for call in in_order(calls)
        if (name, call.task.assigned_uid) not in present
    ]
