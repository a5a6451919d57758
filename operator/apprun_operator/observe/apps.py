"""Records of Apps: the object, the inspection of its code, and the Deployment that serves it over
HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.packed_json import Contracts, Packed
from apprun_operator.observe.pods import PodRecord, Rejection
from apprun_operator.observe.records import AppSpecRecord, Condition, Meta, TaskRecord

NO_POOLS: Final = Packed(b"[]")


@dataclass(frozen=True, slots=True)
class AppRecord:
    """An App. `problem` says why it can't be read; it has no spec then."""

    meta: Meta
    spec: AppSpecRecord | None
    problem: str = ""
    handler: JSONObject | None = None
    """`spec.handler`: how the app is served over HTTP; None if it isn't."""
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    handler_status: JSONObject | None = None
    """`status.handler`, as it was last written."""
    refuses_changes: bool = False
    """`spec.contractChanges: Refuse`: code with incompatible contracts starts no run."""
    inspect_request: str = ""
    """Value of the annotation by which a person requests a new inspection."""
    inspection: InspectionRecord | None = None
    """The last inspection that finished."""
    contracts: Contracts | None = None
    """`status.contracts`, as published."""
    pools: Packed = NO_POOLS
    """`status.pools`, a list."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of type `kind`, or None."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


InspectionResult: TypeAlias = Literal["Published", "Refused", "Failed"]


@dataclass(frozen=True, slots=True)
class InspectionRecord:
    """`status.inspection` of an App: how its last inspection ended."""

    code: str
    """Identity of the inspected code: `plan.code_identity.code_of`."""
    at: float
    """When its pod read the code."""
    result: InspectionResult
    failures: int = 0
    """How many inspections have failed one after the other."""


@dataclass(frozen=True, slots=True)
class OngoingInspection:
    """An App's inspection that hasn't finished."""

    tasks: Mapping[str, TaskRecord] = field(default_factory=dict)
    """Its AppTasks, by name. There are several if the code has changed meanwhile."""
    pods: Mapping[str, PodRecord] = field(default_factory=dict)
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    namespace_ready: bool = False
    others: int = 0
    """Inspections of other Apps whose pods start or run."""
    stale_since: float = 0.0
    """When a run last showed that the published contracts may be outdated; 0 if none does."""


@dataclass(frozen=True, slots=True)
class HandlerDeployment:
    """The Deployment that serves an App, as of its last apply."""

    generation: int
    """Generation of the App that it was applied for."""
    at: float
    """When, in seconds since the epoch."""
    replicas: int = 0
    ready: int = 0
    current: bool = False
    """Whether all pods are of the latest pod template."""
    problem: str = ""
    """Why the API server or the Deployment's controller failed, or that the object isn't the App's."""
    waits: str = ""
    """What has to be deleted before it can be created."""
