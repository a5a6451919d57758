"""Records of warm pods: their inboxes, their pools, and the calls that wait for a pod."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from application_sdk.wire.fields import ReuseFields
from apprun_operator.observe.observed import PodQuota
from apprun_operator.observe.packed_json import EMPTY, Packed
from apprun_operator.observe.pods import PodRecord, Rejection
from apprun_operator.observe.records import Key, Meta, RunRecord, StateRecord, TaskRecord

POOLED: Final = "pool/"
"""Prefix of the name under which the cache keeps a pool's pods. No run's name contains a slash."""

CallId: TypeAlias = tuple[str, int]
"""The uid of an AppTask, and the number of the attempt. A worker executes each once."""


def pool_key(namespace: str, pool: str) -> Key:
    """The key under which the cache keeps a pool, as it keeps a run under the run's own."""
    return Key(namespace, f"{POOLED}{pool}")


def pool_of(key: Key) -> str | None:
    """The name of the pool with this key; None for any other key."""
    return key.name.removeprefix(POOLED) if key.name.startswith(POOLED) else None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One call in an inbox, as it was written."""

    app_task: str
    uid: str
    attempt: int
    entry: Packed
    """The whole `WorkerCall`."""

    @property
    def id(self) -> CallId:
        return self.uid, self.attempt


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """An AppWorker.

    Whatever can't be read in its status counts as missing, so it is written again.
    """

    meta: Meta
    pool: str
    app: str
    slot: int
    shape: Packed = EMPTY
    """The annotation with the `PoolShape` that it was created for."""
    pod_name: str = ""
    pod_uid: str = ""
    """The pod that the inbox is for."""
    calls: tuple[InboxEntry, ...] = ()
    drain: bool = False


OwnerKind: TypeAlias = Literal["App", "AppRun"]


@dataclass(frozen=True, slots=True)
class PoolShape:
    """Everything that shapes the pods of a pool, and the limits of its size.

    The identity of the pool follows from `body`. `reuse` and `generation` may differ between calls
    that share a pool, and those of the latest call apply.
    """

    pool: str
    owner_kind: OwnerKind
    owner: str
    owner_uid: str
    body: Packed
    reuse: ReuseFields
    generation: int = 0
    """The `metadata.generation` of the App."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A call that may start now as far as its run is concerned, in any pod of the pool."""

    run: Key
    task: str
    """Name of the AppTask."""
    uid: str
    attempt: int
    shape: PoolShape


@dataclass(frozen=True, slots=True)
class PoolCall:
    """An open call with all that its entry in an inbox is made of."""

    run: RunRecord
    task: TaskRecord
    state: StateRecord | None = None

    @property
    def id(self) -> CallId:
        return self.task.meta.uid, self.task.attempt


@dataclass(frozen=True, slots=True)
class PendingAssignment:
    """A request that assigns a call to a pod, and hasn't been answered yet."""

    run: Key
    task: Key
    pod_uid: str
    size: int
    """Bytes of the call's entry, approximately."""


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What one pass remembers for the next one.

    None of it has to survive the operator: without it, clocks only start again.
    """

    waits: Mapping[tuple[str, int, bool], float] = field(default_factory=dict)
    """Since when a call in an inbox is silent, by its id and whether the pod executes it now."""
    dropped: Mapping[CallId, float] = field(default_factory=dict)
    """Since when an open call that was acknowledged is missing from its pod's inbox."""
    idle: Mapping[str, float] = field(default_factory=dict)
    """Since when a pod has been idle, by its uid."""
    stale: Mapping[str, float] = field(default_factory=dict)
    """Since when an inbox has held calls that have ended, by its name."""
    verified: Mapping[str, int] = field(default_factory=dict)
    """The version of an inbox that was compared in full, by its name."""
    draining: frozenset[str] = frozenset()
    """Uids of the pods whose inboxes are being told to drain."""
    called_at: float = 0.0
    """When the pool last had an open call."""
    tasks: frozenset[str] = frozenset()
    """Names of the tasks whose calls the pool has executed."""
    renewed: int = 0
    """How many pods have ended by themselves or were lost."""


@dataclass(frozen=True, slots=True)
class PoolObserved:
    """Everything that one pass of the plan knows about a pool."""

    key: Key
    """As `pool_key` returns it."""
    workers: Mapping[str, WorkerRecord] = field(default_factory=dict)
    """By name, which is also the name of the pod."""
    pods: Mapping[str, PodRecord] = field(default_factory=dict)
    assigned: Mapping[str, tuple[PoolCall, ...]] = field(default_factory=dict)
    """Open calls, by the name of the pod that they are assigned to."""
    offers: tuple[tuple[Offer, PoolCall], ...] = ()
    """Calls that may start and aren't assigned yet."""
    shape: PoolShape | None = None
    """The shape of the latest offer; None if there was none since the operator started."""
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    in_flight: Collection[str] = frozenset()
    """Names of the pool's pods and AppWorkers that have a request in flight."""
    tasks_in_flight: Collection[Key] = frozenset()
    """The same for AppTasks."""
    assigning: Collection[PendingAssignment] = ()
    """The assignments among the requests about AppTasks."""
    proven: Collection[str] = frozenset()
    """Uids of pods that have acknowledged or reported a call before."""
    given: Mapping[str, int] = field(default_factory=dict)
    """How many attempts were assigned to each pod, by its uid, since this operator process started."""
    accounts_ready: int = 0
    """The number of slots for which the pool's account and role are known to exist."""
    latest: bool = True
    """Whether no other pool of this owner has calls of a later generation of the App."""
    memory: PoolMemory = PoolMemory()
    pod_quota: PodQuota = field(default_factory=PodQuota)
