"""What is known of Apps: the object, the inspection of its code, and what serves it over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.packed_json import Contracts
from apprun_operator.observe.pods import PodRecord, Refusal
from apprun_operator.observe.records import AppSpecRecord, Condition, Meta, TaskRecord


@dataclass(frozen=True, slots=True)
class AppRecord:
    """An App. `problem` says why it can't be understood; then it has no spec."""

    meta: Meta
    spec: AppSpecRecord | None
    problem: str = ""
    handler: JSONObject | None = None
    """`spec.handler`: how the app is to be served over HTTP; None when it isn't."""
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    handler_status: JSONObject | None = None
    """`status.handler`, as written."""
    refuses_changes: bool = False
    """`spec.contractChanges: Refuse`: code with incompatible contracts starts no run."""
    inspect_request: str = ""
    """The annotation by which people have it inspected anew."""
    inspection: InspectionRecord | None = None
    """The last inspection that came to an end."""
    contracts: Contracts | None = None
    """`status.contracts`, as published."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return next((one for one in self.conditions if one.type == kind), None)


InspectionResult: TypeAlias = Literal["Published", "Refused", "Failed"]


@dataclass(frozen=True, slots=True)
class InspectionRecord:
    """`status.inspection` of an App: how its last inspection ended."""

    code: str
    """Which code it was of: `plan.app.inspection.code_of`."""
    at: float
    """When its pod looked at the code."""
    result: InspectionResult
    failures: int = 0
    """How many have failed in succession."""


@dataclass(frozen=True, slots=True)
class OngoingInspection:
    """What is known of an App's inspection that is under way."""

    tasks: Mapping[str, TaskRecord] = field(default_factory=dict)
    """Its AppTasks, by name. More than one when the code has changed meanwhile."""
    pods: Mapping[str, PodRecord] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    namespace_ready: bool = False
    others: int = 0
    """Inspections of other Apps whose pods start or run."""
    stale_since: float = 0.0
    """When a run last gave reason to think that the code is another by now; 0 when none does."""


@dataclass(frozen=True, slots=True)
class HandlerDeployment:
    """The Deployment that serves an App, as it was when it was last applied."""

    generation: int
    """Generation of the App that it was applied for."""
    at: float
    """When, in seconds since the epoch."""
    replicas: int = 0
    ready: int = 0
    current: bool = False
    """Whether these pods are all of the latest kind."""
    problem: str = ""
    """Why the API server, or the Deployment's controller, can't do what it should; or that it isn't the App's."""
    waits: str = ""
    """What has to go before it can be made."""
