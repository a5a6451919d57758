"""Calls that a pod was told of and says nothing about: they go elsewhere, charged to nobody. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from application_sdk.wire.fields import ReuseFields
from apprun_operator.observe.workers import PoolCall, PoolObserved
from apprun_operator.plan.pool.pods import WarmPod

ACKNOWLEDGE_SECONDS: Final = 5.0
"""How long a pod that has answered before may say nothing of a call: it says after 2 s that it began one."""
FIRST_SECONDS: Final = 60.0
"""The same of a pod that hasn't answered yet: it has to import the app first."""


DROPPED_SECONDS: Final = 3.0
"""How long an acknowledged call may be missing from its pod's inbox: what this operator knows of either may be old."""


@dataclass(slots=True)
class Silence:
    """The calls that are silent for too long, with the time that they had, and the clocks of the others."""

    calls: list[tuple[WarmPod, PoolCall, float]] = field(default_factory=list)
    waits: dict[tuple[str, int, bool], float] = field(default_factory=dict)
    dropped: dict[tuple[str, int], float] = field(default_factory=dict)
    due: float | None = None

    def wake(self, at: float) -> None:
        self.due = at if self.due is None else min(self.due, at)


def listen(observed: PoolObserved, warm: WarmPod, reuse: ReuseFields, silence: Silence, now: float) -> None:
    """Add what is silent of one pod.

    The clock of a call runs as soon as the pod was told of it, if it is one of those that the pod executes
    now. One that waits behind calls that are known to take long is taken back as well: another pod may
    have room.
    """
    told = {entry.id for entry in warm.worker.calls} if warm.worker.pod_uid == warm.pod.meta.uid else set()
    count = reuse["concurrency"]
    proven = warm.pod.meta.uid in observed.proven
    long = all(call.task.started_at for call in warm.calls[:count])
    for place, call in enumerate(warm.calls):
        first = place < count
        if call.task.started_at or call.id not in told or not (first or long):
            continue
        clock = (*call.id, first)
        since = silence.waits[clock] = observed.memory.waits.get(clock, now)
        allowed = ACKNOWLEDGE_SECONDS if proven else FIRST_SECONDS
        # guard: acknowledged-in-time - a pod that is cut off would keep its calls until its node counts as lost
        if now >= since + allowed:
            silence.calls.append((warm, call, allowed))
        else:
            silence.wake(since + allowed)


def is_dropped(warm: WarmPod, call: PoolCall) -> bool:
    """Whether the pod has begun the call, and somebody took it out of the inbox since: then the pod has
    ended it, and never begins that attempt again."""
    told = warm.worker.pod_uid == warm.pod.meta.uid and call.id in {entry.id for entry in warm.worker.calls}
    return bool(call.task.started_at) and not told


def listen_for_dropped(observed: PoolObserved, warm: WarmPod, silence: Silence, now: float) -> list[PoolCall]:
    """The calls that the pod has dropped, and will never report."""
    over: list[PoolCall] = []
    for call in warm.calls:
        if is_dropped(warm, call):
            since = silence.dropped[call.id] = observed.memory.dropped.get(call.id, now)
            # guard: dropped-call-replaced - a call that somebody took out of an inbox while it ran would hang for ever
            if now >= since + DROPPED_SECONDS:
                over.append(call)
            else:
                silence.wake(since + DROPPED_SECONDS)
    return over
