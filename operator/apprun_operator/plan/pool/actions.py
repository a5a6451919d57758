"""The actions that the plan of a pool may request: frozen values, one API call each, as in
`plan.actions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.records import Key
from apprun_operator.observe.workers import PendingAssignment, PoolMemory, PoolShape
from apprun_operator.plan.actions import CreatePod, DeletePod, PatchTask, PodDemand
from apprun_operator.plan.call.pod_status import PodBlocked


@dataclass(frozen=True, slots=True)
class EnsurePool:
    """Ensure that the account of the pool's pods exists, with the right to read so many inboxes."""

    pool: Key
    shape: PoolShape
    account: str
    places: int


@dataclass(frozen=True, slots=True)
class CreateWorker:
    """Create an inbox. Its pod follows in a later pass, and belongs to it."""

    worker: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class WriteInbox:
    """Replace the status of an inbox, if it still has the version that the plan has seen."""

    worker: Key
    version: int
    status: JSONObject


@dataclass(frozen=True, slots=True)
class DeleteWorker:
    """Delete an inbox, if it still has that uid."""

    worker: Key
    uid: str


@dataclass(frozen=True, slots=True)
class PatchCall:
    """Write the assignment of a call, or the end of its attempt, to an AppTask of `run`."""

    run: Key
    patch: PatchTask
    assigning: PendingAssignment | None = None
    """What the write assigns, until it is answered; None if it ends an attempt."""


PoolAction: TypeAlias = CreateWorker | WriteInbox | DeleteWorker | PatchCall | CreatePod | DeletePod
"""No action depends on another one, so they are carried out concurrently."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The actions of one pass, and when to plan again if nothing happens until then."""

    ensure: EnsurePool | None = None
    """Carried out alone, before everything else."""
    then: Sequence[PoolAction] = ()
    wake_at: float | None = None
    demand: PodDemand = field(default_factory=PodDemand)
    memory: PoolMemory = field(default_factory=PoolMemory)
    blocked: PodBlocked | None = None
    """Why none of the pool's pods can start, while calls wait for one."""
    summary: JSONObject | None = None
    """The pool's entry in the status of its App."""
    owner: Key | None = None
    """The App; None where a run owns the pool."""
    forgotten: bool = False
    """The pool has no inbox, pod or call left."""
