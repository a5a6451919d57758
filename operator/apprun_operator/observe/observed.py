"""The input of one plan: the records of one run, and what the operator's own requests have shown
about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from application_sdk.wire import names
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.pods import PodEvent, PodRecord, PoolBlocked, Rejection
from apprun_operator.observe.records import RunRecord, StateRecord, TaskRecord


@dataclass(frozen=True, slots=True)
class PodQuota:
    """How many more task pods a run may start while other runs have theirs; None for any number."""

    places: int | None = None
    why: str = ""
    """The limit that applies, as text for the run's message."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that one plan sees of one run.

    `tasks` are the calls that aren't committed yet, the driver among them; `pods` are keyed by name
    and include those of committed calls until they are deleted. `committed_keys` has every key of
    the ledger, pages included.
    """

    run: RunRecord
    app: AppRecord | None
    tasks: Mapping[str, TaskRecord]
    pods: Mapping[str, PodRecord]
    committed_keys: Collection[str]
    committed_tasks: Collection[str] = frozenset()
    """Names of the AppTasks whose completion is committed."""
    missing_pages: tuple[int, ...] = ()
    """Numbers of the ledger pages that the run counts and that aren't cached yet."""
    lost_pages: Collection[int] = frozenset()
    """Those among them that the API server doesn't have."""
    unseen_tasks: tuple[str, ...] = ()
    """AppTasks of committed calls that aren't cached as the ledger has them."""
    lost_tasks: Collection[str] = frozenset()
    """Those among them that the API server doesn't have."""
    altered_tasks: Collection[str] = frozenset()
    """Those among them that differ from the ledger on the API server too."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Why AppTasks and AppLedgers of the run can't be read, by kind and name."""
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    in_flight: Collection[str] = frozenset()
    """Names of pods and AppTasks that a request is in flight for."""
    pod_events: Mapping[str, PodEvent] = field(default_factory=dict)
    """What kubelet's Events say of pods that don't start, by the pod's name."""
    state: StateRecord | None = None
    """The app's saved state; None if it has saved nothing yet."""
    namespace_ready: bool = False
    ensured_at: float = 0.0
    """When the namespace's service accounts and bindings were last ensured, or an attempt failed; 0
    for never."""
    pod_quota: PodQuota = PodQuota()
    blocked_pools: Mapping[str, PoolBlocked] = field(default_factory=dict)
    """Pools of warm pods none of whose pods can start, by name."""

    @property
    def driver(self) -> TaskRecord | None:
        """The driver's AppTask; None until the run has begun, or if somebody deleted it."""
        return self.tasks.get(names.driver_task_name(self.run.meta.key.name))
