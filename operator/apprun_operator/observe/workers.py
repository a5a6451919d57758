"""What is known of warm pods: their inboxes, the pools that they form, and the calls that wait for them."""

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
"""What the cache files a pool's pods under is this and the pool's name; no run's name has a slash."""

CallId: TypeAlias = tuple[str, int]
"""Uid of an AppTask, and the attempt: what a worker executes once."""


def pool_key(namespace: str, pool: str) -> Key:
    """What a pool is filed under, as a run is under its own key."""
    return Key(namespace, f"{POOLED}{pool}")


def pool_of(key: Key) -> str | None:
    """Name of the pool that this is the key of; None for any other key."""
    return key.name.removeprefix(POOLED) if key.name.startswith(POOLED) else None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One call in an inbox, as it was told."""

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
    """An AppWorker. What of its status can't be understood counts as missing, so it is written again."""

    meta: Meta
    pool: str
    app: str
    slot: int
    shape: Packed = EMPTY
    """The annotation with the `PoolShape` that it was made of."""
    pod_name: str = ""
    pod_uid: str = ""
    """The pod that the inbox is for."""
    calls: tuple[InboxEntry, ...] = ()
    drain: bool = False


OwnerKind: TypeAlias = Literal["App", "AppRun"]


@dataclass(frozen=True, slots=True)
class PoolShape:
    """All that shapes the pods of a pool, and how large it may be.

    `body` is what another digest, hence another pool, follows from. `reuse` and `generation` may differ between calls
    that share the pool: the latest counts.
    """

    pool: str
    owner_kind: OwnerKind
    owner: str
    owner_uid: str
    body: Packed
    reuse: ReuseFields
    generation: int = 0
    """Of the App."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A call that its run's plan lets start now, in whichever pod of the pool there is room."""

    run: Key
    task: str
    """Name of the AppTask."""
    uid: str
    attempt: int
    shape: PoolShape


@dataclass(frozen=True, slots=True)
class PoolCall:
    """An open call with what a worker has to be told of it."""

    run: RunRecord
    task: TaskRecord
    state: StateRecord | None = None

    @property
    def id(self) -> CallId:
        return self.task.meta.uid, self.task.attempt


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What one pass remembers for the next one. Nothing of it has to survive the operator: without it clocks only start
    again."""

    waits: Mapping[tuple[str, int, bool], float] = field(default_factory=dict)
    """Since when a call that was told isn't acknowledged, by its id and whether it is one of the pod's first."""
    dropped: Mapping[CallId, float] = field(default_factory=dict)
    """Since when a call that was acknowledged isn't in its pod's inbox, though nobody has ended it."""
    idle: Mapping[str, float] = field(default_factory=dict)
    """Since when a pod has nothing to do, by its uid."""
    stale: Mapping[str, float] = field(default_factory=dict)
    """Since when an inbox holds calls that have ended, by its name."""
    verified: Mapping[str, int] = field(default_factory=dict)
    """The version of an inbox whose contents were compared in full, by its name."""
    called_at: float = 0.0
    """When a call was last open."""
    tasks: frozenset[str] = frozenset()
    """Names of the tasks that were called."""
    renewed: int = 0
    """How many pods have ended by themselves or were lost."""


@dataclass(frozen=True, slots=True)
class PoolObserved:
    """All that one pass of the plan sees of one pool."""

    key: Key
    """As `pool_key` makes it."""
    workers: Mapping[str, WorkerRecord] = field(default_factory=dict)
    """By name, which is that of the pod as well."""
    pods: Mapping[str, PodRecord] = field(default_factory=dict)
    assigned: Mapping[str, tuple[PoolCall, ...]] = field(default_factory=dict)
    """Open calls, by the name of the pod that they are assigned to."""
    offers: tuple[tuple[Offer, PoolCall], ...] = ()
    """Calls that may start, and aren't assigned yet."""
    shape: PoolShape | None = None
    """That of the latest offer; None when nothing was called since the operator began."""
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    in_flight: Collection[str] = frozenset()
    """Names of pods and AppWorkers of the pool that a request is under way for."""
    tasks_in_flight: Collection[Key] = frozenset()
    """The same of AppTasks."""
    proven: Collection[str] = frozenset()
    """Uids of pods that have answered a call before."""
    given: Mapping[str, int] = field(default_factory=dict)
    """How many attempts were assigned to each pod, by its uid: after the operator's restart fewer than there were."""
    accounts_ready: int = 0
    """For how many places the pool's account and role are known to exist."""
    latest: bool = True
    """No other pool of the same owner has been called for a later generation of the App."""
    memory: PoolMemory = PoolMemory()
    pod_quota: PodQuota = field(default_factory=PodQuota)
