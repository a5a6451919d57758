"""Small frozen views of runs and of what belongs to them. Those of pods and Apps stand in `pods` and `apps`; together
they are all that the plan may know of the world.

`observe.parse` makes them from raw JSON, the store keeps them, the plan reads them. Times are seconds since
the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import (
    TERMINAL_RUN_PHASES,
    TERMINAL_TASK_PHASES,
    AttemptFields,
    Checkpoint,
    ErrorFields,
    PodFields,
    Policy,
    Role,
    RunPhase,
    TaskPhase,
)
from apprun_operator.observe.packed_json import EMPTY, Packed


class Key(NamedTuple):
    """An object's place: what queue and store are keyed by."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """`namespace/name`, for people."""
        return f"{self.namespace}/{self.name}"


INSPECTING: Final = "app/"
"""What the store files an App's inspection under is this and the App's name; no run's name has a slash."""


def inspection_of(app: Key) -> Key:
    """What AppTasks and pods of an App's inspection are filed under, as those of a run are under the run's key."""
    return Key(app.namespace, f"{INSPECTING}{app.name}")


def inspected_by(key: Key) -> Key | None:
    """The App whose inspection that is the key of; None for the key of a run."""
    return Key(key.namespace, key.name.removeprefix(INSPECTING)) if key.name.startswith(INSPECTING) else None


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object has."""

    key: Key
    uid: str
    version: int
    created: float = 0.0
    generation: int = 0
    deleting: bool = False
    owner_uid: str = ""


@dataclass(frozen=True, slots=True)
class AppSpecRecord:
    """An App's spec, of an App object or inline in a run. `template` has the fields that `status.app` shares."""

    template: JSONObject
    parallelism: int | None = None
    cancel_grace: float | None = None
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: str
    reason: str
    message: str
    since: str
    """`lastTransitionTime`, as written."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """An AppRun. `problem` says why it can't be understood; the other fields mean nothing then."""

    meta: Meta
    problem: str = ""
    app_ref: str = ""
    inline_app: AppSpecRecord | None = None
    entrypoint: str = ""
    input: Packed = EMPTY
    parallelism: int | None = None
    timeout_seconds: float | None = None
    suspend: bool = False
    cancel: bool = False
    cancel_grace: float | None = None
    ttl_seconds: float | None = None
    correlation_id: str = ""
    spec: Packed = field(default=EMPTY, repr=False)
    """The spec as it is stored, but for the input: what a continuation of the run starts from."""

    phase: RunPhase = "Pending"
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = -1
    message: str = ""
    started_at: float | None = None
    cancelled_at: float | None = None
    """When its cancellation was written into the ledger."""
    finished_at: float | None = None
    replay_rules: int = 0
    app: JSONObject | None = None
    """`status.app`: the app as resolved; None until the run began."""
    counts: Mapping[str, int] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()
    pages: int = 0

    began_as: str = ""
    """Annotation: the uid under which an operator began it."""
    restored_from: str = ""
    """Annotation: the uid of the run that an import makes it a copy of."""
    restored_uid: str = ""
    """`status.restoredFrom.uid`, written last by an import: the uid that the run began with."""

    @property
    def origin_uid(self) -> str:
        """The uid that it began with. Idempotency keys, correlation, files and state outlive a backup by it."""
        return self.restored_uid or self.meta.uid

    @property
    def began(self) -> bool:
        return self.app is not None

    @property
    def finished(self) -> bool:
        return self.phase in TERMINAL_RUN_PHASES

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """An AppTask. Once it is committed, the store keeps its name only."""

    meta: Meta
    run: str
    role: Role
    key: str
    task: str
    entrypoint: str = ""
    sequence: int = 0
    input: Packed = EMPTY
    policy: Policy | None = None
    pod: PodFields = field(default_factory=lambda: PodFields())
    seconds: float = 0.0
    cleanup: bool = False
    """The route made the call after it was cancelled."""
    source_digest: str = ""
    """Of the files that the call's driver was given as the app's source."""
    seen_at: float = 0.0
    """When this operator first saw it: finer than the creation time, which is cut to seconds."""

    phase: TaskPhase = "Active"
    attempt: int = 1
    digest: str = ""
    """Digest of the output, or of the error; only in a terminal phase."""
    output: Packed | None = None
    """Only the driver's, which becomes the run's, and an inspection's, which becomes the App's."""
    continue_with: Packed | None = None
    """Only the driver's: the run goes on as a new one, `ContinuationFields`."""
    error: ErrorFields | None = None
    heartbeat: Packed | None = None
    progress: str = ""
    """Only the driver's: what it says of a route that doesn't yield."""
    abandoned: frozenset[str] = frozenset()
    """Only the driver's: keys of calls that its route no longer waits for."""
    saves: Packed | None = None
    """A list of `StateWrite`: what is to be kept before it has succeeded; only in the phase Saving."""
    node: str = ""
    started_at: float = 0.0
    """When the current attempt's process began."""
    finished_at: float = 0.0
    attempts: tuple[AttemptFields, ...] = ()
    not_before: float = 0.0
    message: str = ""
    restored_from: str = ""
    """Annotation: the uid of the run that an import has copied it from."""

    # Worked out once per version, since a plan asks each of thousands of calls.
    pod_name: str = field(init=False, compare=False)
    """The pod of the current attempt."""
    finished: bool = field(init=False, compare=False)
    is_first_healthy_attempt: bool = field(init=False, compare=False)
    """A first attempt of a task about which nothing has been said yet: only its pod can ask for an action."""

    def __post_init__(self) -> None:
        plain = self.role == "task" and self.phase == "Active" and self.attempt == names.FIRST_ATTEMPT
        limited = self.policy is not None and "scheduleToCloseSeconds" in self.policy
        object.__setattr__(self, "pod_name", names.pod_name(self.meta.key.name, self.attempt, self.meta.owner_uid))
        object.__setattr__(self, "finished", self.phase in TERMINAL_TASK_PHASES)
        # One that asks for secrets may ask for what nobody declares, or for an account that no task may have.
        asks = "secrets" in self.pod or "serviceAccountName" in self.pod
        quiet = self.error is None and not self.not_before
        object.__setattr__(self, "is_first_healthy_attempt", plain and not limited and not asks and quiet)

    @property
    def reported_error(self) -> ErrorFields | None:
        """The error of the current attempt, when it has reported one that nobody answered yet."""
        if self.finished or self.error is None or self.error.get("attempt") != self.attempt:
            return None
        return self.error


@dataclass(frozen=True, slots=True)
class PageRecord:
    """A page of older checkpoints, cut to their keys and digests."""

    meta: Meta
    run: str
    number: int
    digests: Mapping[str, str]
    """By key."""


@dataclass(frozen=True, slots=True)
class StateRecord:
    """An AppState: what an app keeps beyond its runs."""

    meta: Meta
    spec: Packed
    """As it is stored: it is written back with changes."""
    applied: tuple[str, ...] = ()
    """Task calls whose writes are in it."""
