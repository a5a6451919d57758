"""Small frozen views of Kubernetes objects: all that the plan may know of the world.

`observe.project` makes them from raw JSON, the store keeps them, the plan reads them. Times are seconds since
the epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from application_sdk.wire import names
from application_sdk.wire.containers import STARTING, Blocker
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
from apprun_operator.observe.packed import EMPTY, Contracts, Packed


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
class AppRecord:
    """An App. `problem` says why it can't be understood; then it has no spec."""

    meta: Meta
    spec: AppSpecRecord | None
    problem: str = ""
    handler: JSONObject | None = None
    """`spec.handler`: how the app is to be served over HTTP; None when it isn't."""
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    served: JSONObject | None = None
    """`status.handler`, as written."""
    refuses_changes: bool = False
    """`spec.contractChanges: Refuse`: code with incompatible contracts starts no run."""
    wish: str = ""
    """The annotation by which people have it inspected anew."""
    inspection: InspectedRecord | None = None
    """The last inspection that came to an end."""
    contracts: Contracts | None = None
    """`status.contracts`, as published."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return next((one for one in self.conditions if one.type == kind), None)


InspectionResult: TypeAlias = Literal["Published", "Refused", "Failed"]


@dataclass(frozen=True, slots=True)
class InspectedRecord:
    """`status.inspection` of an App: how its last inspection ended."""

    code: str
    """Which code it was of: `plan.inspection.code_of`."""
    at: float
    """When its pod looked at the code."""
    result: InspectionResult
    failures: int = 0
    """How many have failed in succession."""


@dataclass(frozen=True, slots=True)
class InspectingRecord:
    """What is known of an App's inspection that is under way."""

    tasks: Mapping[str, TaskRecord] = field(default_factory=dict)
    """Its AppTasks, by name. More than one when the code has changed meanwhile."""
    pods: Mapping[str, PodRecord] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    namespace_ready: bool = False
    others: int = 0
    """Inspections of other Apps whose pods start or run."""
    doubted_at: float = 0.0
    """When a run last gave reason to think that the code is another by now; 0 when none does."""


@dataclass(frozen=True, slots=True)
class ServedRecord:
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
    undisturbed: bool = field(init=False, compare=False)
    """A first attempt of a task about which nothing has been said yet: only its pod can ask for an action."""

    def __post_init__(self) -> None:
        plain = self.role == "task" and self.phase == "Active" and self.attempt == names.FIRST_ATTEMPT
        limited = self.policy is not None and "scheduleToCloseSeconds" in self.policy
        object.__setattr__(self, "pod_name", names.pod_name(self.meta.key.name, self.attempt, self.meta.owner_uid))
        object.__setattr__(self, "finished", self.phase in TERMINAL_TASK_PHASES)
        # One that asks for secrets may ask for what nobody declares, or for an account that no task may have.
        asks = "secrets" in self.pod or "serviceAccountName" in self.pod
        quiet = self.error is None and not self.not_before
        object.__setattr__(self, "undisturbed", plain and not limited and not asks and quiet)

    @property
    def reported_error(self) -> ErrorFields | None:
        """The error of the current attempt, when it has reported one that nobody answered yet."""
        if self.finished or self.error is None or self.error.get("attempt") != self.attempt:
            return None
        return self.error


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod of an AppTask, cut to what decides. `gone` is a pod that vanished before its attempt was answered.

    Image, waiting, exit and running are those of the call's own container, whatever else runs in the pod.
    """

    meta: Meta
    run: str
    task: str
    """Name of the AppTask that owns it."""
    attempt: int
    image: str = ""
    asked_image: str = ""
    """The image that the operator asked for. Another one is in the container where a webhook rewrites images."""
    image_id: str = ""
    """The image that its node has really started, as the kubelet names it."""
    phase: str = "Pending"
    node: str = ""
    reason: str = ""
    message: str = ""
    deletion_at: float | None = None
    """When the grace of its deletion is over; None while nobody deletes it."""
    disruption: str = ""
    """Reason of its `DisruptionTarget` condition."""
    disruption_message: str = ""
    unschedulable: str = ""
    """The scheduler's words, while it can't place the pod."""
    gates: str = ""
    """Names of the scheduling gates that hold it back from the scheduler."""
    scheduled_at: float = 0.0
    """When it was given its node."""
    ungated_at: float = 0.0
    """When the operator saw that the last of its gates was opened."""
    blocker: Blocker | None = None
    """The init container that keeps the call's container from starting."""
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    running_since: float | None = None
    seen_at: float = 0.0
    """When the operator first saw it: better than to the second, as its creation is."""
    gone: bool = False
    mounts: bool = False
    """It has volumes that the kubelet may not be able to mount, and says so in Events only."""

    healthy: bool = field(init=False, compare=False)
    """It starts or runs, and nobody wants to end it: no reason to look at it again before it changes."""

    def __post_init__(self) -> None:
        starts = self.starting and not self.mounts
        ending = self.ended or self.deletion_at is not None or bool(self.disruption)
        object.__setattr__(self, "healthy", (starts or self.running) and not ending)

    @property
    def running(self) -> bool:
        """The call's container is at work. The pod may well be Pending then, since another container's image is
        missing."""
        at_work = self.running_since is not None or self.phase == "Running"
        return at_work and self.exit_code is None

    @property
    def starting(self) -> bool:
        """Kubelet prepares it, or the scheduler has just been told, and neither has said that anything is wrong."""
        held = self.unschedulable or self.gates or self.blocker is not None
        return self.phase == "Pending" and not self.running and not held and self.waiting_reason in STARTING

    @property
    def ended(self) -> bool:
        """The attempt is over when its container is, though a sidecar may keep the pod Running."""
        # guard: own-container-ended - a sidecar that keeps running would hide the end of the attempt
        return self.gone or self.phase in ("Succeeded", "Failed") or self.exit_code is not None

    @property
    def pending_since(self) -> float:
        """Since when scheduler or kubelet could start it: a queue before them is no part of that."""
        return max(self.meta.created, self.ungated_at, self.scheduled_at)


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


RefusalKind: TypeAlias = Literal[
    "Quota", "Forbidden", "Invalid", "NoAccount", "NotAllowed", "NameTaken", "Terminating", "Webhook"
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to a pod that it won't create: a fact for the plan, kept by the store."""

    pod: str
    kind: RefusalKind
    message: str
    since: float
    retry_at: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class Words:
    """What kubelet said last of a pod that doesn't start: asked for by a plan, kept by the store."""

    message: str
    """Empty when it said nothing."""
    heard_at: float


@dataclass(frozen=True, slots=True)
class Room:
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
    room: Room = Room()
