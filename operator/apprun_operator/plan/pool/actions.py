"""What the plan of a pool may ask for: frozen values, one API call each, as in `plan.actions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.records import Key
from apprun_operator.observe.workers import PoolMemory, PoolShape
from apprun_operator.plan.actions import CreatePod, DeletePod, PatchTask, PodDemand
from apprun_operator.plan.call.pod_status import PodBlocked


@dataclass(frozen=True, slots=True)
class EnsurePool:
    """Make sure of the account of the pool's pods, and of its role for so many places."""

    pool: Key
    shape: PoolShape
    account: str
    places: int


@dataclass(frozen=True, slots=True)
class CreateWorker:
    """Create an inbox, before its pod."""

    worker: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class WriteInbox:
    """Set an inbox to this, if it is still the version that was planned with."""

    worker: Key
    version: int
    status: JSONObject


@dataclass(frozen=True, slots=True)
class DeleteWorker:
    """Delete exactly that inbox."""

    worker: Key
    uid: str


@dataclass(frozen=True, slots=True)
class PatchCall:
    """An assignment, or the end of an attempt whose pod failed: a write to an AppTask of `run`."""

    run: Key
    patch: PatchTask


PoolAction: TypeAlias = CreateWorker | WriteInbox | DeleteWorker | PatchCall | CreatePod | DeletePod
"""Independent of one another, so carried out side by side."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What to do now, and when to look again though nothing happens."""

    ensure: EnsurePool | None = None
    """Before the rest."""
    then: Sequence[PoolAction] = ()
    wake_at: float | None = None
    demand: PodDemand = field(default_factory=PodDemand)
    memory: PoolMemory = field(default_factory=PoolMemory)
    blocked: PodBlocked | None = None
    """Why none of the pool's pods can start, where calls wait for them."""
    summary: JSONObject | None = None
    """What the App's status says of the pool."""
    owner: Key | None = None
    """The App; None where a run owns the pool."""
    forgotten: bool = False
    """Nothing is left of the pool."""
