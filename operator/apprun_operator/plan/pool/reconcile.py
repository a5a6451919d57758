"""`plan_pool(observed, now, limits) -> plan`: all decisions about one pool of warm pods. Pure.

The plan is level-triggered like that of a run: it compares inboxes, pods and calls as they are. A
call is assigned in its AppTask first, with the version that the plan has seen, and enters the inbox
of its pod after that. Any pass that finds an inbox different from the assignments writes it. So a
crash between two writes leaves only work for the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from application_sdk.wire.fields import ReplicaFields, ReuseFields
from apprun_operator.observe.packed_json import EMPTY
from apprun_operator.observe.records import Key
from apprun_operator.observe.workers import PoolCall, PoolMemory, PoolObserved, PoolShape
from apprun_operator.plan.actions import CreatePod, DeletePod
from apprun_operator.plan.call import pod_status
from apprun_operator.plan.call.pod_status import PodBlocked
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pool import worker_pods
from apprun_operator.plan.pool.actions import CreateWorker, EnsurePool, PatchCall, PoolAction, PoolPlan, WriteInbox
from apprun_operator.plan.pool.assignment import assign, waiting_calls
from apprun_operator.plan.pool.endings import DROPPED, GONE, end_call, ended_with, not_acknowledged
from apprun_operator.plan.pool.inbox import TIDY_AFTER, inbox_of
from apprun_operator.plan.pool.pods import WarmPod, lost_calls, pods_of
from apprun_operator.plan.pool.scaling import places_of, scale
from apprun_operator.plan.pool.shape import shape_from
from apprun_operator.plan.pool.silence import Silence, is_dropped, listen, listen_for_dropped
from apprun_operator.plan.pool.summary import summary_of
from apprun_operator.plan.times import earliest


def plan_pool(observed: PoolObserved, now: float, limits: Limits) -> PoolPlan:
    """Plan one pass of a pool. The same input always yields the same actions."""
    shape = _shape(observed)
    max_calls = None if shape is None else shape.reuse.get("maxCalls")
    pods = pods_of(observed, now, limits, max_calls)
    waiting = waiting_calls(observed)
    if not (observed.workers or observed.pods or waiting or observed.assigned):
        return PoolPlan(forgotten=not observed.offers)
    decisions = _Decisions(observed, now, limits)
    decisions.end_lost(pods)
    decisions.end_silent(pods)
    if shape is None:
        return decisions.without_shape(pods)
    open_calls = len(waiting) + sum(warm.load for warm in pods if warm.live)
    called_at = now if open_calls else observed.memory.called_at or now
    memory = replace(observed.memory, called_at=called_at)
    scaling = scale(replace(observed, memory=memory), shape, pods, open_calls, now, limits)
    draining = {action.worker.name for action in scaling.actions if isinstance(action, WriteInbox)}
    # A pod that has just lost a call is given none in the same pass: it may hang.
    assignable = [
        warm
        for warm in pods
        if warm.name not in draining and not decisions.ended.intersection(call.id for call in warm.calls)
    ]
    decisions.actions += assign(observed, waiting, assignable, shape.reuse, now)
    decisions.write_inboxes([warm for warm in pods if warm.name not in draining])
    decisions.actions += scaling.actions
    creates = any(isinstance(action, CreateWorker | CreatePod) for action in scaling.actions)
    places = places_of(shape.reuse)
    ensure = None
    if creates and observed.accounts_ready < places:
        ensure = EnsurePool(observed.key, shape, worker_pods.account_of(shape), places)
    present = [*waiting, *(call for warm in pods for call in warm.calls)]
    tasks = observed.memory.tasks | {call.task.task for call in present}
    renewed = observed.memory.renewed + sum(
        1
        for warm in pods
        if warm.ended is not None
        and not warm.worker.drain
        and DeletePod(warm.pod.meta.key, warm.pod.meta.uid) in scaling.actions
    )
    drains = frozenset(warm.pod.meta.uid for warm in pods if warm.draining or warm.name in draining)
    memory = replace(
        decisions.memory(), idle=scaling.idle, draining=drains, called_at=called_at, tasks=tasks, renewed=renewed
    )
    return PoolPlan(
        ensure,
        decisions.actions,
        earliest(decisions.wake_at, scaling.wake_at),
        scaling.demand,
        memory,
        _blocked(observed, pods, now, limits) if waiting else None,
        summary_of(observed, pods, sorted(tasks), renewed),
        Key(observed.key.namespace, shape.owner) if shape.owner_kind == "App" else None,
    )


def _shape(observed: PoolObserved) -> PoolShape | None:
    """The shape of the latest offer.

    An operator that has just started reads it from the inboxes.
    """
    if observed.shape is not None:
        return observed.shape
    shapes = (shape_from(worker) for worker in observed.workers.values())
    return next((shape for shape in shapes if shape is not None), None)


def _blocked(observed: PoolObserved, pods: Sequence[WarmPod], now: float, limits: Limits) -> PodBlocked | None:
    """Why none of the pool's pods can start; None if one runs, or if no reason is known."""
    if any(warm.usable for warm in pods):
        return None
    blocked = [warm.reading for warm in pods if isinstance(warm.reading, PodBlocked)]
    refused = [pod_status.of_rejection(rejection, now, limits) for _, rejection in sorted(observed.rejections.items())]
    return min([*blocked, *refused], key=lambda reading: reading.since, default=None)


_NOTHING = PoolShape(
    "",
    "App",
    "",
    "",
    EMPTY,
    ReuseFields(replicas=ReplicaFields(min=0, max=1), idleTtl=0.0, scaledownTtl=0.0, concurrency=1, mode="process"),
)
"""The shape of a pool that keeps no pods."""


@dataclass(slots=True)
class _Decisions:
    """Collects the actions of one pass."""

    observed: PoolObserved
    now: float
    limits: Limits
    actions: list[PoolAction] = field(default_factory=list)
    ended: set[tuple[str, int]] = field(default_factory=set)
    """The attempts that this pass ends, by the ids of their calls."""
    silence: Silence = field(default_factory=Silence)
    stale: dict[str, float] = field(default_factory=dict)
    verified: dict[str, int] = field(default_factory=dict)
    renewed: int = 0
    wake_at: float | None = None

    def end_lost(self, pods: Sequence[WarmPod]) -> None:
        """End the attempts in pods that have ended, or don't exist any more."""
        for call in lost_calls(self.observed, pods):
            reuse = call.task.reuse
            if reuse is not None:
                self._end(call, None, GONE)
        for warm in pods:
            ended = warm.ended
            if ended is None:
                due = warm.look_at
                self.wake_at = earliest(self.wake_at, due if due is not None and due > self.now else None)
                continue
            for place, call in enumerate(warm.calls):
                reuse = call.task.reuse
                if reuse is not None:
                    acknowledged = bool(call.task.started_at)
                    self._end(call, warm, ended_with(ended, warm.pod, reuse, place, acknowledged))

    def end_silent(self, pods: Sequence[WarmPod]) -> None:
        """End the attempts that are in an inbox, and that the pod says nothing about."""
        for warm in pods:
            reuse = _reuse(warm)
            if warm.ended is None and reuse is not None:
                listen(self.observed, warm, reuse, self.silence, self.now)
            if warm.ended is None:
                for call in listen_for_dropped(self.observed, warm, self.silence, self.now):
                    self._end(call, warm, DROPPED)
        for warm, call, seconds in self.silence.calls:
            self._end(call, warm, not_acknowledged(warm.pod, seconds))
        self.wake_at = earliest(self.wake_at, self.silence.due)

    def _end(self, call: PoolCall, warm: WarmPod | None, ended: pod_status.PodEnded) -> None:
        self.ended.add(call.id)
        # A write to the AppTask is under way already. The pass after it decides again.
        if call.task.meta.key not in self.observed.tasks_in_flight:
            pod = None if warm is None else warm.pod
            self.actions.append(PatchCall(call.run.meta.key, end_call(call.task, ended, pod, self.now, self.limits)))

    def write_inboxes(self, pods: Sequence[WarmPod]) -> None:
        """Write the inboxes that differ from the assignments."""
        for warm in pods:
            name, worker = warm.name, warm.worker
            if name in self.observed.in_flight or warm.ended is not None or worker.drain:
                continue
            # A call that the pod has dropped isn't written again, since the pod would ignore it.
            calls = [call for call in warm.calls if call.id not in self.ended and not is_dropped(warm, call)]
            verified = self.observed.memory.verified.get(name) == worker.meta.version
            since = self.observed.memory.stale.get(name)
            inbox = inbox_of(worker, warm.pod, calls, since, verified, self.now)
            if inbox.write is not None:
                self.actions.append(inbox.write)
                continue
            self.verified[name] = worker.meta.version
            if inbox.stale:
                self.stale[name] = self.now if since is None else since
                self.wake_at = earliest(self.wake_at, self.stale[name] + TIDY_AFTER)

    def without_shape(self, pods: Sequence[WarmPod]) -> PoolPlan:
        """Plan a pool of unknown shape: its pods finish their calls, and none is created."""
        self.write_inboxes(pods)
        scaling = scale(self.observed, _NOTHING, pods, 0, self.now, self.limits)
        return PoolPlan(None, [*self.actions, *scaling.actions], self.wake_at, scaling.demand, self.memory())

    def memory(self) -> PoolMemory:
        before = self.observed.memory
        return replace(
            before, waits=self.silence.waits, dropped=self.silence.dropped, stale=self.stale, verified=self.verified
        )


def _reuse(warm: WarmPod) -> ReuseFields | None:
    return next((call.task.reuse for call in warm.calls if call.task.reuse is not None), None)
