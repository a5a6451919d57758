"""Finds calls that are in an inbox and that the pod says nothing about.

Another pod gets them, and no budget is charged. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from application_sdk.wire.fields import ReuseFields
from apprun_operator.observe.workers import PoolCall, PoolObserved
from apprun_operator.plan.pool.pods import WarmPod

ACKNOWLEDGE_SECONDS: Final = 5.0
"""Seconds for which a pod that has answered a call before may be silent about one. It acknowledges
a call 2 s after it began."""
FIRST_SECONDS: Final = 60.0
"""The same for a pod that hasn't answered a call yet: it has to import the app first."""
DROPPED_SECONDS: Final = 3.0
"""Seconds for which an acknowledged call may be missing from its pod's inbox, since the cache may
be behind with either object."""


@dataclass(slots=True)
class Silence:
    """The calls that pods have been silent about for too long, each with its time limit, and the
    clocks of the others."""

    calls: list[tuple[WarmPod, PoolCall, float]] = field(default_factory=list)
    waits: dict[tuple[str, int, bool], float] = field(default_factory=dict)
    dropped: dict[tuple[str, int], float] = field(default_factory=dict)
    due: float | None = None

    def wake(self, at: float) -> None:
        self.due = at if self.due is None else min(self.due, at)


def listen(observed: PoolObserved, warm: WarmPod, reuse: ReuseFields, silence: Silence, now: float) -> None:
    """Add the calls of one pod that it has been silent about for too long.

    The clock of a call that the pod executes now starts when the call is in the inbox. A call that
    waits behind calls that are known to take long is taken back as well, since another pod may have
    room.
    """
    listed = {entry.id for entry in warm.worker.calls} if warm.worker.pod_uid == warm.pod.meta.uid else set()
    count = reuse["concurrency"]
    proven = warm.pod.meta.uid in observed.proven
    is_behind_long = all(call.task.started_at for call in warm.calls[:count])
    for position, call in enumerate(warm.calls):
        is_first = position < count
        if call.task.started_at or call.id not in listed or not (is_first or is_behind_long):
            continue
        clock = (*call.id, is_first)
        since = silence.waits[clock] = observed.memory.waits.get(clock, now)
        allowed = ACKNOWLEDGE_SECONDS if proven else FIRST_SECONDS
        # guard: acknowledged-in-time - a pod that is cut off would keep its calls until its node
        # counts as lost
        if now >= since + allowed:
            silence.calls.append((warm, call, allowed))
        else:
            silence.wake(since + allowed)


def is_dropped(warm: WarmPod, call: PoolCall) -> bool:
    """Whether the pod began the call, and somebody has taken it out of the inbox since.

    The pod has cancelled the call then, and never begins that attempt again.
    """
    is_listed = warm.worker.pod_uid == warm.pod.meta.uid and call.id in {entry.id for entry in warm.worker.calls}
    return bool(call.task.started_at) and not is_listed


def listen_for_dropped(observed: PoolObserved, warm: WarmPod, silence: Silence, now: float) -> list[PoolCall]:
    """The calls that the pod has dropped and will never report."""
    dropped: list[PoolCall] = []
    for call in warm.calls:
        if is_dropped(warm, call):
            since = silence.dropped[call.id] = observed.memory.dropped.get(call.id, now)
            # guard: dropped-call-replaced - a call that somebody took out of an inbox while it ran
            # would stay open forever
            if now >= since + DROPPED_SECONDS:
                dropped.append(call)
            else:
                silence.wake(since + DROPPED_SECONDS)
    return dropped
