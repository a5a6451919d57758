"""Frozen records of runs and of what belongs to them. Those of pods and Apps are in `pods` and
`apps`.

Together they are all that a plan may know of the cluster. `observe.parse` makes them from raw JSON,
the cache keeps them, plans read them. Times are in seconds since the epoch.
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
    Policy,
    ReuseFields,
    Role,
    RunPhase,
    TaskPhase,
)
from application_sdk.wire.pod_fields import PodFields
from apprun_operator.observe.packed_json import EMPTY, Packed


class Key(NamedTuple):
    """Namespace and name of an object: the key of the work queues and the cache."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """`namespace/name`, for people."""
        return f"{self.namespace}/{self.name}"


INSPECTING: Final = "app/"
"""Prefix of the name under which the cache keeps an App's inspection. No run's name contains a
slash."""


def inspection_of(app: Key) -> Key:
    """The key under which the AppTasks and pods of an App's inspection are kept, like those of a
    run under its key."""
    return Key(app.namespace, f"{INSPECTING}{app.name}")


def inspected_by(key: Key) -> Key | None:
    """The App to whose inspection `key` belongs; None for the key of a run."""
    return Key(key.namespace, key.name.removeprefix(INSPECTING)) if key.name.startswith(INSPECTING) else None


@dataclass(frozen=True, slots=True)
class Meta:
    """The metadata of an object."""

    key: Key
    uid: str
    version: int
    created: float = 0.0
    generation: int = 0
    deleting: bool = False
    owner_uid: str = ""


@dataclass(frozen=True, slots=True)
class AppSpecRecord:
    """An App's spec, of an App object or inline in a run.

    `template` has the fields that `status.app` shares.
    """

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
    """An AppRun. `problem` says why it can't be read; the other fields mean nothing then."""

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
    """The spec as stored, without the input: what a continuation of the run starts from."""

    phase: RunPhase = "Pending"
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = -1
    message: str = ""
    started_at: float | None = None
    cancelled_at: float | None = None
    """When its cancellation was committed to the ledger."""
    finished_at: float | None = None
    replay_rules: int = 0
    app: JSONObject | None = None
    """`status.app`: the app as resolved; None until the run has begun."""
    counts: Mapping[str, int] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()
    pages: int = 0

    began_as: str = ""
    """Annotation: the uid that the run had when an operator began it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """`metadata.labels`, of which pods inherit those that the chart names."""
    restored_from: str = ""
    """Annotation: the uid of the run that it is a restored copy of."""
    restored_uid: str = ""
    """`status.restoredFrom.uid`, written last by an import: the uid that the run began with."""

    @property
    def origin_uid(self) -> str:
        """The uid that it began with.

        Idempotency keys, correlation, files and state use it, so they survive a restore.
        """
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
class Parked:
    """What a driver has said when it left."""

    ledger_length: int
    """How many checkpoints it had delivered."""
    open_calls: int
    """How many calls its route waits for."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """An AppTask. Once it is committed, the cache keeps only its name."""

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
    """Digest of the source files that the call's driver had."""
    seen_at: float = 0.0
    """When this operator first saw it: more precise than the creation time, which is cut to
    seconds."""

    phase: TaskPhase = "Active"
    attempt: int = 1
    digest: str = ""
    """Digest of the output, or of the error; only in a terminal phase."""
    output: Packed | None = None
    """Only the driver's, which becomes the run's, and an inspection's, which becomes the App's."""
    continue_with: Packed | None = None
    """Only the driver's: the run continues as a new run, `ContinuationFields`."""
    error: ErrorFields | None = None
    heartbeat: Packed | None = None
    progress: str = ""
    """Only the driver's: its message about a route that doesn't yield."""
    abandoned: frozenset[str] = frozenset()
    """Only the driver's: keys of calls that its route no longer waits for."""
    parked: Parked | None = None
    """Only the driver's, if the current attempt has parked."""
    saves: Packed | None = None
    """A list of `StateWrite`: what has to be saved before the call succeeds; only in the phase
    Saving."""
    node: str = ""
    started_at: float = 0.0
    """When the current attempt's process began."""
    finished_at: float = 0.0
    attempts: tuple[AttemptFields, ...] = ()
    not_before: float = 0.0
    message: str = ""
    restored_from: str = ""
    """Annotation: the uid of the run that an import has copied it from."""

    reuse: ReuseFields | None = None
    """The call is executed in a warm pod, `assigned_name` with `assigned_uid`, once it has one."""
    assigned_name: str = ""
    assigned_uid: str = ""
    assigned_at: float = 0.0

    # Computed once per version, since each plan asks thousands of calls.
    pod_name: str = field(init=False, compare=False)
    """The pod of the current attempt."""
    finished: bool = field(init=False, compare=False)
    is_first_healthy_attempt: bool = field(init=False, compare=False)
    """A first attempt of a task without error, delay or special needs: only its pod can require an
    action."""

    def __post_init__(self) -> None:
        is_first_attempt = self.role == "task" and self.phase == "Active" and self.attempt == names.FIRST_ATTEMPT
        limited = self.policy is not None and "scheduleToCloseSeconds" in self.policy
        own_pod = names.pod_name(self.meta.key.name, self.attempt, self.meta.owner_uid)
        object.__setattr__(self, "pod_name", own_pod if self.reuse is None else self.assigned_name)
        object.__setattr__(self, "finished", self.phase in TERMINAL_TASK_PHASES)
        # A call with secrets or an account of its own may ask for what isn't declared or allowed.
        asks = "secrets" in self.pod or "serviceAccountName" in self.pod
        quiet = self.error is None and not self.not_before and self.reuse is None
        object.__setattr__(self, "is_first_healthy_attempt", is_first_attempt and not limited and not asks and quiet)

    @property
    def at_work(self) -> bool:
        """Whether its current attempt has neither reported nor been ended."""
        return not self.finished and self.phase != "Saving" and self.reported_error is None

    @property
    def reported_error(self) -> ErrorFields | None:
        """The error that the current attempt has reported, until a plan has decided on it."""
        if self.finished or self.error is None or self.error.get("attempt") != self.attempt:
            return None
        return self.error


@dataclass(frozen=True, slots=True)
class PageRecord:
    """A page of older checkpoints, reduced to their keys and digests."""

    meta: Meta
    run: str
    number: int
    digests: Mapping[str, str]
    """By key."""


@dataclass(frozen=True, slots=True)
class StateRecord:
    """An AppState: what an app keeps across its runs."""

    meta: Meta
    spec: Packed
    """As stored: it is written back with changes."""
    applied: tuple[str, ...] = ()
    """Keys of the task calls whose writes it contains."""
