"""AppRun: one execution of an app on one input. People write the spec, the operator alone the
status."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from application_sdk.wire.fields import PAGE_SIZE, RunPhase
from application_sdk.wire.names import RUN_NAME_MAX_LENGTH
from apprun_operator.api.app import AppSpec, AppTemplate, CancelGrace, Parallelism, Retention
from apprun_operator.api.shapes import (
    LIST_TYPE,
    RULES,
    Checkpoint,
    Conditions,
    Failure,
    FreeObject,
    FreeValue,
    NameReference,
    ObjectName,
    Shape,
    Timestamp,
    rule,
)

CHECKPOINTS_MAX_ITEMS: Final = 4096
"""Far above `TAIL_LIMIT`: a batch of commits comes on top of it, and a rejected commit would make
nothing safer."""

MUTABLE: Final = frozenset({"suspend", "cancel", "cancel_grace_seconds", "parallelism", "retention"})
"""Fields of the spec that may change at any time."""

EXACTLY_ONE_APP: Final = rule(
    "has(self.appRef) != has(self.app)",
    "give exactly one of appRef (an App of this namespace) and app (the app itself, inline)",
)

NO_WAY_BACK: Final = rule(
    "!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",
    "a cancellation can't be taken back: create a new AppRun instead",
    field=".cancel",
)

TERMINAL: Final = "['Succeeded', 'Failed', 'Cancelled']"


def _ledger_length(status: str) -> str:
    pages = f"(has({status}.ledgerPages) ? {status}.ledgerPages : 0)"
    return f"({pages} * {PAGE_SIZE} + (has({status}.checkpoints) ? size({status}.checkpoints) : 0))"


STATUS_RULES: Final[list[JsonValue]] = [
    rule(
        f"!has(oldSelf.phase) || !(oldSelf.phase in {TERMINAL}) || (has(self.phase) && self.phase == oldSelf.phase)",
        "a finished run keeps its phase",
    ),
    rule(
        f"{_ledger_length('self')} >= {_ledger_length('oldSelf')}",
        "the ledger never gets shorter: committed checkpoints stay",
    ),
    rule(
        "!has(self.checkpoints) || size(self.checkpoints) == 0 || ("
        f"self.checkpoints[0].sequence == (has(self.ledgerPages) ? self.ledgerPages : 0) * {PAGE_SIZE} && "
        "self.checkpoints[size(self.checkpoints) - 1].sequence"
        " == self.checkpoints[0].sequence + size(self.checkpoints) - 1)",
        "checkpoints go on, without a gap, where the ledger's pages end",
    ),
    rule(
        "!has(oldSelf.restoredFrom) || (has(self.restoredFrom) && self.restoredFrom.uid == oldSelf.restoredFrom.uid)",
        "a restored run keeps the identity that it began with",
    ),
]


class ContinuedFrom(Shape):
    """The run that this one continues, after `continue_with`."""

    name: ObjectName
    """Name of the previous run."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Uid of the previous run."""
    first: ObjectName
    """Name of the first run of the chain; also in the label `apprun.dev/chain`."""
    number: Annotated[int, Field(ge=2)]
    """Number of this run in the chain."""


class RestoredFrom(Shape):
    """The run that this one is a restored copy of, by `apprun import`."""

    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """The uid that the run began with. Idempotency keys, the correlation id and files keep using
    it."""
    at: Timestamp | None = None
    """When it was imported."""


class AppRunSpec(Shape):
    """What to run. Everything is immutable except suspend, cancel, cancelGraceSeconds, parallelism
    and retention. While the run is Stalled and nothing is committed yet, every field may be
    corrected."""

    model_config = ConfigDict(json_schema_extra={RULES: [EXACTLY_ONE_APP, NO_WAY_BACK]})

    app_ref: NameReference | None = None
    """The App to run, by name. Exactly one of appRef and app is required."""
    app: AppSpec | None = None
    """The app itself, inline, for a run that doesn't share it with other runs."""
    entrypoint: Annotated[str | None, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] = (
        None
    )
    """Entry point of the app to run. Defaults to the app's default entry point."""
    input: FreeObject | None = None
    """The run's input: the fields of the entry point's Input class. At most 240 KiB of JSON."""
    timeout_seconds: Annotated[int | None, Field(ge=1)] = None
    """Seconds after its start at which the run is cancelled; it ends as Failed with reason
    TimedOut. No limit when absent. Time in which the run is suspended counts. The route's clean-up
    comes on top: see cancelGraceSeconds."""
    parallelism: Parallelism | None = None
    """How many task pods of this run may be active at the same time. May be changed while the run
    is active; a lower number ends no running pod. Defaults to the App's."""
    suspend: bool | None = None
    """True starts no further pods. Running pods may finish, and their results are committed. False
    resumes the run."""
    cancel: bool | None = None
    """True cancels the run: its tasks are asked to stop, its route gets a CancelledError and may
    clean up, then the run ends as Cancelled. Committed results stay. A cancellation can't be
    undone."""
    cancel_grace_seconds: CancelGrace | None = None
    """Seconds that the route has for its clean-up after a cancellation, including the tasks that it
    calls for that. Then its pods are deleted. 0 allows no clean-up. Defaults to the App's, and to
    120 if the App has none."""
    correlation_id: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """The app's `correlation_id`, the same for all runs of a chain. Defaults to the run's uid."""
    continued_from: ContinuedFrom | None = None
    """Set by the operator on a run that continues another one."""
    retention: Retention | None = None
    """How long this run is kept after its end. Defaults to the App's."""


class ResolvedApp(AppTemplate):
    """The app as it was when the run began. Later changes of the App don't affect the run."""

    # Free, since it was admitted as a spec: its rules would be evaluated with each write of the ledger.
    pod: FreeObject | None = None
    """Defaults of the pods, as in the App's spec."""
    driver: FreeObject | None = None
    """The driver's pod, as in the App's spec."""
    tasks: FreeObject | None = None
    """Settings of tasks, as in the App's spec."""
    name: str
    """Name of the App, or of the class of an inline app."""
    generation: int | None = None
    """Generation of the App when the run began."""
    image_digest: str | None = None
    """Digest of the image that the first driver's node has started. Later pods use the image by
    this digest, if it can be pulled by it."""
    source_digest: str | None = None
    """Digest of the files of `source` that the first driver found. Pods that find other files don't
    execute them."""
    parallelism: int | None = None
    """The App's value, kept in case the App is deleted."""
    cancel_grace_seconds: int | None = None
    """The App's value, kept in case the App is deleted."""
    park_after_seconds: int | None = None
    """The App's value, or the default."""
    retention: Retention | None = None
    """The App's value, kept in case the App is deleted."""


class TaskCounts(Shape):
    """Counts of the run's task calls, by state. Timers count, the driver doesn't."""

    total: int | None = None
    """Calls that the route has made so far."""
    succeeded: int | None = None
    """Calls committed as Succeeded."""
    failed: int | None = None
    """Calls committed as Failed. The route may have caught the errors."""
    cancelled: int | None = None
    """Calls committed as Cancelled."""
    active: int | None = None
    """Calls that run, or will as soon as possible."""
    waiting: int | None = None
    """Calls that can't start at present. Their AppTasks say why."""
    queued: int | None = None
    """Active calls that wait for their turn. The run's message says which limit holds them back."""


class AppRunStatus(Shape):
    """State of the run. The checkpoints are authoritative; everything else is derived from them and
    from the AppTasks."""

    model_config = ConfigDict(json_schema_extra={RULES: STATUS_RULES})

    phase: RunPhase | None = None
    """Pending, Running, Suspended, Stalled (somebody has to correct something: see message),
    Cancelling, or one of the terminal phases Succeeded, Failed and Cancelled."""
    conditions: Conditions | None = None
    """`Ready`, `Reconciling`, `Stalled` as kstatus defines them, and `Succeeded`, which `kubectl
    wait` can wait for."""
    observed_generation: int | None = None
    """The `metadata.generation` that this status describes; -1 until the operator has seen the
    run."""
    message: str | None = None
    """What the run waits for, or how it ended, in one sentence."""
    started_at: Timestamp | None = None
    """When the run began."""
    cancelled_at: Timestamp | None = None
    """When the cancellation of the run, by spec.cancel or by its timeout, was committed to the
    ledger."""
    finished_at: Timestamp | None = None
    """When the run ended."""
    replay_rules: int | None = None
    """Version of the replay rules of a run that was begun by an operator before version 0.2. Other
    runs use the rules of the SDK that they began with, which the keys of their calls show. A run
    keeps its rules until it ends."""
    app: ResolvedApp | None = None
    """The app as it was when the run began."""
    tasks: TaskCounts | None = None
    """Counts of task calls, by state."""
    checkpoints: (
        Annotated[list[Checkpoint], Field(max_length=CHECKPOINTS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})]
        | None
    ) = None
    """The newest entries of the ledger, in commit order. Older ones are in AppLedger objects, 128
    per page."""
    ledger_pages: Annotated[int, Field(ge=0)] | None = None
    """Number of pages of older checkpoints: AppLedgers `<run>-0`, `<run>-1`, and so on."""
    output: FreeValue | None = None
    """What the entry point returned."""
    continued_as: str | None = None
    """Name of the run that continues this one, after `continue_with`."""
    error: Failure | None = None
    """Why the run failed."""
    restored_from: RestoredFrom | None = None
    """Set by `apprun import`, in the write that completes the import."""


def _correctable() -> JsonValue:
    """The rule that makes the spec immutable, except while the run is stalled before its first
    commit."""
    frozen = [to_camel(name) for name in AppRunSpec.model_fields if name not in MUTABLE]
    same = " && ".join(
        f"has(self.spec.{name}) == has(oldSelf.spec.{name})"
        f" && (!has(self.spec.{name}) || self.spec.{name} == oldSelf.spec.{name})"
        for name in frozen
    )
    uncommitted = (
        "has(oldSelf.status) && has(oldSelf.status.phase) && oldSelf.status.phase == 'Stalled'"
        " && (!has(oldSelf.status.checkpoints) || size(oldSelf.status.checkpoints) == 0)"
        " && (!has(oldSelf.status.ledgerPages) || oldSelf.status.ledgerPages == 0)"
    )
    return rule(
        f"({same}) || ({uncommitted})",
        "a run's spec is immutable except suspend, cancel, cancelGraceSeconds, parallelism and retention (it may be"
        " corrected only while the run is Stalled with nothing committed): create a new AppRun instead",
        field=".spec",
    )


NAME_RULE: Final = rule(
    f"size(self.metadata.name) <= {RUN_NAME_MAX_LENGTH}",
    f"the name of a run may have {RUN_NAME_MAX_LENGTH} characters at most: it is the value of a label",
)


class AppRun(Shape):
    """One durable execution of an app. It resumes from its last checkpoint when a process, pod or
    node dies."""

    model_config = ConfigDict(json_schema_extra={RULES: [NAME_RULE, _correctable()]})

    spec: AppRunSpec
    status: Annotated[AppRunStatus | None, Field(json_schema_extra={"default": {"observedGeneration": -1}})] = None
