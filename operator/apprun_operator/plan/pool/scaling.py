"""Scales a pool: up while calls wait, down when its pods have been idle for long. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from application_sdk.wire import names
from application_sdk.wire.fields import MAX_REPLICAS, ReuseFields
from apprun_operator.observe.workers import PoolObserved, PoolShape
from apprun_operator.plan.actions import CreatePod, DeletePod, PodDemand
from apprun_operator.plan.call.pod_status import PodBlocked
from apprun_operator.plan.limits import UNPLACED_PODS, Limits
from apprun_operator.plan.pool import worker_pods
from apprun_operator.plan.pool.actions import DeleteWorker, PoolAction
from apprun_operator.plan.pool.inbox import write_inbox
from apprun_operator.plan.pool.pods import WarmPod
from apprun_operator.plan.times import earliest

SLOTS_PER_POD: Final = 2
"""Names that a pool has for each pod: that of a pod on a dead node stays taken for minutes."""


@dataclass(slots=True)
class Scale:
    """The pods and inboxes to create and to delete."""

    actions: list[PoolAction] = field(default_factory=list)
    idle: dict[str, float] = field(default_factory=dict)
    wake_at: float | None = None
    demand: PodDemand = field(default_factory=PodDemand)


def places_of(reuse: ReuseFields) -> int:
    """How many slots, hence names of pods, a pool has."""
    return min(SLOTS_PER_POD * reuse["replicas"]["max"], MAX_REPLICAS)


def scale(
    observed: PoolObserved, shape: PoolShape, pods: Sequence[WarmPod], open_calls: int, now: float, limits: Limits
) -> Scale:
    """Decide which pods to create for `open_calls`, waiting ones included, and which idle ones to
    delete.

    A pod is deleted in two steps. First its inbox says `drain`, so that no pass assigns a call to
    it any more; when that is written and no call is open, it is deleted. In one step, a leader that
    hasn't seen the deletion could assign a call to the pod.
    """
    decisions = Scale()
    reuse = shape.reuse
    # The pool of an earlier version of the App keeps no minimum.
    least = reuse["replicas"]["min"] if observed.latest else 0
    needed = -(-open_calls // reuse["concurrency"])
    # guard: pool-within-max - a fan-out of thousands of calls would create as many pods
    desired = min(max(needed, least), reuse["replicas"]["max"])
    live = [warm for warm in pods if warm.live]
    _grow(observed, shape, live, desired, now, limits, decisions)
    _shrink(observed, reuse, live, max(needed, least), now, decisions)
    _clear(observed, pods, decisions, keep=desired > len(live))
    occupied = sum(1 for warm in pods if warm.ended is None)
    created = len([action for action in decisions.actions if isinstance(action, CreatePod)])
    decisions.demand = PodDemand(occupied + created, max(occupied + created, desired))
    return decisions


def _grow(
    observed: PoolObserved,
    shape: PoolShape,
    live: Sequence[WarmPod],
    desired: int,
    now: float,
    limits: Limits,
    decisions: Scale,
) -> None:
    unplaced = sum(1 for warm in live if isinstance(warm.reading, PodBlocked) and not warm.pod.gates)
    # Inboxes and pods that are being created count too, or each pass would create one more.
    creating = sum(1 for name in observed.workers if name in observed.in_flight and name not in observed.pods)
    count = min(desired - len(live) - creating, UNPLACED_PODS - unplaced)
    if observed.pod_quota.places is not None:
        count = min(count, observed.pod_quota.places)
    for slot in range(places_of(shape.reuse)):
        if count <= 0:
            return
        name = names.slot_name(shape.pool, slot)
        worker, rejection = observed.workers.get(name), observed.rejections.get(name)
        if name in observed.in_flight or name in observed.pods or (worker is not None and worker.drain):
            continue
        if worker is not None and worker.meta.deleting:
            continue
        count -= 1
        if rejection is not None and rejection.retry_at > now:
            decisions.wake_at = earliest(decisions.wake_at, rejection.retry_at)
        elif worker is None:
            decisions.actions.append(worker_pods.inbox(observed.key.namespace, shape, slot))
        else:
            decisions.actions.append(worker_pods.pod(worker, shape, limits))


def _shrink(
    observed: PoolObserved, reuse: ReuseFields, live: Sequence[WarmPod], least: int, now: float, decisions: Scale
) -> None:
    spare = len(live) - least
    quiet_at = observed.memory.called_at + reuse["idleTtl"]
    for warm in reversed(live):
        if warm.load or not warm.usable:
            continue
        since = decisions.idle[warm.pod.meta.uid] = observed.memory.idle.get(warm.pod.meta.uid, now)
        due = min(since + reuse["scaledownTtl"], max(quiet_at, since))
        if spare <= 0 or warm.name in observed.in_flight:
            continue
        if now < due:
            decisions.wake_at = earliest(decisions.wake_at, due)
            continue
        spare -= 1
        decisions.actions.append(write_inbox(warm.worker, warm.pod, (), drain=True))


def _clear(observed: PoolObserved, pods: Sequence[WarmPod], decisions: Scale, *, keep: bool) -> None:
    """Delete drained and ended pods, and inboxes without a pod that aren't needed."""
    for warm in pods:
        # guard: drained-before-deleted - a pod with open calls would lose them
        drained = warm.worker.drain and not warm.load
        is_over = (warm.ended is not None and not warm.load) or drained
        if is_over and not warm.pod.gone and warm.pod.deletion_at is None and warm.name not in observed.in_flight:
            decisions.actions.append(DeletePod(warm.pod.meta.key, warm.pod.meta.uid))
    created = {action.pod.name for action in decisions.actions if isinstance(action, CreatePod)}
    for name, worker in sorted(observed.workers.items()):
        if name in observed.pods or name in observed.in_flight or name in created or worker.meta.deleting:
            continue
        # An inbox that says `drain` is never used again, since its next pod would exit at once.
        if worker.drain or not keep:
            decisions.actions.append(DeleteWorker(worker.meta.key, worker.meta.uid))
