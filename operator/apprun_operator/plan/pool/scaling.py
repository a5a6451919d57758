"""How many pods a pool has: more while calls wait, fewer when they are idle for long. Pure."""

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
"""So many names a pool has for each pod that it may have: the name of one on a dead node stays taken for minutes."""


@dataclass(slots=True)
class Scale:
    """What to create and to take away."""

    actions: list[PoolAction] = field(default_factory=list)
    idle: dict[str, float] = field(default_factory=dict)
    wake_at: float | None = None
    demand: PodDemand = field(default_factory=PodDemand)


def places_of(reuse: ReuseFields) -> int:
    """How many names the pool has."""
    return min(SLOTS_PER_POD * reuse["replicas"]["max"], MAX_REPLICAS)


def scale(
    observed: PoolObserved, shape: PoolShape, pods: Sequence[WarmPod], open_calls: int, now: float, limits: Limits
) -> Scale:
    """Pods to create for `open_calls`, waiting ones included, and idle ones to take away.

    A pod is taken away in two steps: it is told to drain, which keeps calls away from it, and deleted when that was
    written and it has no open call.
    """
    decisions = Scale()
    reuse = shape.reuse
    # An earlier version's pool keeps nothing: its calls, if there are any, start from none.
    least = reuse["replicas"]["min"] if observed.latest else 0
    needed = -(-open_calls // reuse["concurrency"])
    # guard: pool-within-max - a fan-out of thousands would create as many pods
    wanted = min(max(needed, least), reuse["replicas"]["max"])
    live = [warm for warm in pods if warm.live]
    _grow(observed, shape, live, wanted, now, limits, decisions)
    _shrink(observed, reuse, live, max(needed, least), now, decisions)
    _clear(observed, pods, decisions, keep=wanted > len(live))
    occupied = sum(1 for warm in pods if warm.ended is None)
    created = len([action for action in decisions.actions if isinstance(action, CreatePod)])
    decisions.demand = PodDemand(occupied + created, max(occupied + created, wanted))
    return decisions


def _grow(
    observed: PoolObserved,
    shape: PoolShape,
    live: Sequence[WarmPod],
    wanted: int,
    now: float,
    limits: Limits,
    decisions: Scale,
) -> None:
    unplaced = sum(1 for warm in live if isinstance(warm.reading, PodBlocked))
    # Inboxes whose pods are being created count, or each pass would ask for one more.
    coming = sum(1 for name in observed.workers if name in observed.in_flight and name not in observed.pods)
    count = min(wanted - len(live) - coming, UNPLACED_PODS - unplaced)
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
        if warm.calls or not warm.usable:
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
    """Take away what is done with: drained pods, ended ones, and inboxes without a pod that nobody needs."""
    for warm in pods:
        # guard: drained-before-deleted - a pod with open calls would lose them
        drained = warm.worker.drain and not warm.calls
        done = (warm.ended is not None and not warm.calls) or drained
        if done and not warm.pod.gone and warm.pod.deletion_at is None and warm.name not in observed.in_flight:
            decisions.actions.append(DeletePod(warm.pod.meta.key, warm.pod.meta.uid))
    created = {action.pod.name for action in decisions.actions if isinstance(action, CreatePod)}
    for name, worker in sorted(observed.workers.items()):
        if name in observed.pods or name in observed.in_flight or name in created or worker.meta.deleting:
            continue
        # An inbox that was told to drain is never used again: its next pod would exit at once.
        if worker.drain or not keep:
            decisions.actions.append(DeleteWorker(worker.meta.key, worker.meta.uid))
