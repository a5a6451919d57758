"""AppRun: one execution of an app on one input. The spec is written by people, the status by the operator alone."""

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
"""Far above `TAIL_LIMIT`: a batch of commits comes on top of it, and to refuse a commit would make nothing safer."""

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
    """Where a run comes from that another run continued as."""

    name: ObjectName
    """The run before this one."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""
    first: ObjectName
    """The first run of the chain; also in the label `apprun.dev/chain`."""
    number: Annotated[int, Field(ge=2)]
    """This run's place in the chain."""


class RestoredFrom(Shape):
    """Where a run comes from that `apprun import` brought back."""

    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """The uid that the run began with. Idempotency keys, the correlation id and files go on by it."""
    at: Timestamp | None = None
    """When it was imported."""


class AppRunSpec(Shape):
    """What to run. Immutable but for suspend, cancel, cancelGraceSeconds, parallelism and retention; while the run is
    Stalled and nothing is committed yet, all of it may be corrected."""

    model_config = ConfigDict(json_schema_extra={RULES: [EXACTLY_ONE_APP, NO_WAY_BACK]})

    app_ref: NameReference | None = None
    """The App to run, by name. Exactly one of appRef and app is given."""
    app: AppSpec | None = None
    """The app itself, inline, for a run that shares it with no other."""
    entrypoint: Annotated[str | None, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] = (
        None
    )
    """Which entry point of the app to run; its default one when absent."""
    input: FreeObject | None = None
    """The run's input: the fields of the entry point's Input class. Its JSON may be 240 KiB long."""
    timeout_seconds: Annotated[int | None, Field(ge=1)] = None
    """Seconds, from its start, after which the run is cancelled and ends as Failed with reason TimedOut. Absent: no
    limit. The clean-up of its route comes on top, see cancelGraceSeconds. Time in which it is suspended counts."""
    parallelism: Parallelism | None = None
    """How many task pods of this run may be active at the same time. May be changed while it runs: fewer end none that
    work."""
    suspend: bool | None = None
    """True starts no further pods; those that run may finish and are committed. False or absent goes on."""
    cancel: bool | None = None
    """True cancels the run: its tasks are asked to stop, its route gets a CancelledError and may clean up, then the run
    ends as Cancelled. What is committed stays. It can't be taken back."""
    cancel_grace_seconds: CancelGrace | None = None
    """Seconds that the route has to clean up after it was cancelled, its own tasks for that included; then its pods are
    deleted. The App's when absent, 120 when that is absent too. 0 gives it none."""
    correlation_id: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """What the app gets as `correlation_id`: the same for all runs of a chain. The run's uid when absent."""
    continued_from: ContinuedFrom | None = None
    """Set by the operator on a run that another one continued as."""
    retention: Retention | None = None
    """How long this run is kept once it is finished; the App's when absent."""


class ResolvedApp(AppTemplate):
    """The app as it was when the run began. The run keeps this, whatever happens to the App."""

    name: str
    """Name of the App; for an inline app that of its class."""
    generation: int | None = None
    """Generation of the App that was read."""
    image_digest: str | None = None
    """The image that the first driver's node has really started. Later pods get it by this digest, if it can be pulled
    by it."""
    source_digest: str | None = None
    """Digest of the files of `source` that the first driver found. Pods that find others don't work with them."""
    parallelism: int | None = None
    """The App's, for when it is gone."""
    cancel_grace_seconds: int | None = None
    """The App's, for when it is gone."""
    retention: Retention | None = None
    """The App's, for when it is gone."""


class TaskCounts(Shape):
    """The run's task calls, timers included and the driver left out, by state."""

    total: int | None = None
    """Calls that the route has made so far."""
    succeeded: int | None = None
    """Calls that are committed as Succeeded."""
    failed: int | None = None
    """Calls that are committed as Failed; the route may have caught them."""
    cancelled: int | None = None
    """Calls that are committed as Cancelled."""
    active: int | None = None
    """Calls that run or are about to."""
    waiting: int | None = None
    """Calls that can't start for now; their AppTasks say why."""
    queued: int | None = None
    """Calls among the active ones that wait for their turn; the run's message says what for."""


class AppRunStatus(Shape):
    """Where the run stands. The checkpoints are the truth; the rest is derived from them and from the AppTasks."""

    model_config = ConfigDict(json_schema_extra={RULES: STATUS_RULES})

    phase: RunPhase | None = None
    """Pending, Running, Suspended, Stalled (a person has to correct something: see message), Cancelling, and the three
    ends Succeeded, Failed and Cancelled."""
    conditions: Conditions | None = None
    """`Ready`, `Reconciling`, `Stalled` as kstatus defines them, and `Succeeded`, which `kubectl wait` can wait for."""
    observed_generation: int | None = None
    """The `metadata.generation` that this status speaks of; -1 until the operator has seen the run."""
    message: str | None = None
    """One sentence for people: what the run waits for, or how it ended."""
    started_at: Timestamp | None = None
    """When the driver was first started."""
    cancelled_at: Timestamp | None = None
    """When the cancellation of the run, by spec.cancel or its timeout, was written into the ledger."""
    finished_at: Timestamp | None = None
    """When the run ended."""
    replay_rules: int | None = None
    """Version of the replay rules, of a run that an operator before version 0.2 began. Others have the rules of the SDK
    that they began with, which the keys of their calls tell. A run keeps them until it ends."""
    app: ResolvedApp | None = None
    """The app as it was when the run began."""
    tasks: TaskCounts | None = None
    """Task calls by state."""
    checkpoints: (
        Annotated[list[Checkpoint], Field(max_length=CHECKPOINTS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})]
        | None
    ) = None
    """The ledger's newest entries, in commit order. Older ones are in AppLedger objects, 128 a page."""
    ledger_pages: Annotated[int, Field(ge=0)] | None = None
    """How many pages of older checkpoints there are: AppLedgers `<run>-0`, `<run>-1`, and so on."""
    output: FreeValue | None = None
    """What the entry point returned."""
    continued_as: str | None = None
    """Name of the run that this one continued as, after `continue_with`."""
    error: Failure | None = None
    """Why the run failed, or why it waits."""
    restored_from: RestoredFrom | None = None
    """Set by `apprun import`, in the one write that completes it."""


def _correctable() -> JsonValue:
    """The rule that freezes the spec, save on a run that is stalled before its first commit."""
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
    """One durable execution of an app. It goes on from its last checkpoint when a process, pod or node dies."""

    model_config = ConfigDict(json_schema_extra={RULES: [NAME_RULE, _correctable()]})

    spec: AppRunSpec
    status: Annotated[AppRunStatus | None, Field(json_schema_extra={"default": {"observedGeneration": -1}})] = None
