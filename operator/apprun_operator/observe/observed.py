"""What one pass of the plan sees of one run: its records, and what the operator itself has learned about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.pods import PodRecord, Refusal, Words
from apprun_operator.observe.records import RunRecord, StateRecord, TaskRecord


@dataclass(frozen=True, slots=True)
class PodQuota:
    """How many more task pods a run may have beside those of other runs; None for as many as it likes."""

    places: int | None = None
    why: str = ""
    """What is the limit, in words."""


@dataclass(frozen=True, slots=True)
class Observed:
    """All that one pass of the plan sees of one run.

    `tasks` are the calls that aren't committed yet, the driver among them; `pods` are keyed by name and include those
    of committed calls until they are deleted. `committed` has every key of the ledger, pages included.
    """

    run: RunRecord
    app: AppRecord | None
    tasks: Mapping[str, TaskRecord]
    pods: Mapping[str, PodRecord]
    committed: Collection[str]
    settled: Collection[str] = frozenset()
    """Names of the AppTasks whose completion is committed."""
    missing_pages: tuple[int, ...] = ()
    """Pages that the run counts and that aren't known yet."""
    lost_pages: Collection[int] = frozenset()
    """Those among them that the API server says it hasn't."""
    unseen_tasks: tuple[str, ...] = ()
    """AppTasks of committed calls that aren't known as what the ledger has of them."""
    lost_tasks: Collection[str] = frozenset()
    """Those among them that the API server says it hasn't."""
    altered_tasks: Collection[str] = frozenset()
    """Those that are something else to the API server as well."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """What is the matter with AppTasks and AppLedgers of the run that can't be understood, by kind and name."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    in_flight: Collection[str] = frozenset()
    """Names of pods and AppTasks that a request is under way for."""
    words: Mapping[str, Words] = field(default_factory=dict)
    """What kubelet said of pods that don't start, by the pod's name."""
    state: StateRecord | None = None
    """What the app keeps; None when it keeps nothing yet."""
    namespace_ready: bool = False
    ensured_at: float = 0.0
    """When the namespace's service accounts and bindings were last ensured, or that was tried; 0 for never."""
    room: PodQuota = PodQuota()
