"""AppTask: one task call of a run. Drivers create them, pods report into the status, the operator
decides attempts.

Must agree with `application_sdk.wire.fields`; people only read these objects.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from application_sdk.wire.fields import (
    MAX_ABANDONED,
    MAX_COEFFICIENT,
    MAX_POOL_SECONDS,
    MAX_REPLICAS,
    MAX_SECONDS,
    MAX_WORKER_CONCURRENCY,
    Outcome,
    ReuseMode,
    Role,
    TaskPhase,
)
from application_sdk.wire.names import (
    APP_NAME_MAX_LENGTH,
    DRIVER_KEY,
    FIRST_ATTEMPT,
    INSPECT_TASK,
    INSPECTION_KEY_LENGTH,
    KEY_LENGTH,
    KEY_PREFIX_LENGTH,
)
from application_sdk.wire.pod import REFUSED_FINISHED
from apprun_operator.api.pod import POD_RULES, PodShape, TaskAmounts
from apprun_operator.api.shapes import (
    LIST_TYPE,
    RULES,
    TASK_ACCOUNT_RULE,
    Failure,
    FreeObject,
    FreeValue,
    Image,
    LabelMap,
    ObjectName,
    Shape,
    Text,
    Timestamp,
    Tolerations,
    rule,
)

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
"""A time span, a century at most."""

OUTCOME_ATTEMPTS_MAX_ITEMS: Final = 64
ATTEMPTS_MAX_ITEMS: Final = 4096
"""Above any budget that the operator grants; only a bound for the API server's cost estimates."""

NAME_RULE: Final = rule(
    f"size(self.spec.key) < {KEY_LENGTH} ? self.spec.role == 'driver' && has(self.spec.run)"
    f" && self.metadata.name == self.spec.run + '-{DRIVER_KEY}' : self.metadata.name == (has(self.spec.app) ?"
    f" self.spec.app + '-{INSPECT_TASK}-' + self.spec.key.substring(0, {INSPECTION_KEY_LENGTH}) :"
    f" (has(self.spec.run) ? self.spec.run : '') + '-' + self.spec.key.substring(0, {KEY_PREFIX_LENGTH}))",
    f"an AppTask is named <run>-<first {KEY_PREFIX_LENGTH} digits of its key>, that of a driver <run>-{DRIVER_KEY},"
    f" that of an inspection <app>-{INSPECT_TASK}-<first {INSPECTION_KEY_LENGTH} digits>",
    field=".spec.key",
)

STATUS_RULES: Final[list[JsonValue]] = [
    rule(
        "!has(oldSelf.attempt) || (has(self.attempt) && self.attempt >= oldSelf.attempt)",
        "attempt numbers only grow",
    ),
    rule(
        "!has(oldSelf.phase) || !(oldSelf.phase in ['Succeeded', 'Failed', 'Cancelled'])"
        " || (has(self.phase) && self.phase == oldSelf.phase)",
        f"{REFUSED_FINISHED}: this task call has ended; its phase never changes again",
    ),
]


class Identity(Shape):
    """The parts that are hashed into the key. They are stored so that a divergence can be explained
    by the part that has changed."""

    input_digest: str
    """Digest of the call's input."""
    lineage: str
    """Identity of the last checkpoint that this branch of the route had consumed."""
    occurrence: int
    """Number of equal calls before this one."""
    keyed_by: str | None = None
    """The key set with `keyed()`. The other parts aren't used then."""


class Retry(Shape):
    """How often, and after how long, a failed task is retried."""

    max_attempts: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Maximum number of attempts that fail by the task's own fault. Disruptions by the cluster are
    counted separately."""
    initial_interval_seconds: Seconds
    """Seconds before the second attempt."""
    max_interval_seconds: Seconds
    """Maximum number of seconds between two attempts."""
    backoff_coefficient: Annotated[float, Field(ge=0, le=MAX_COEFFICIENT)]
    """Factor by which the time between attempts grows."""
    non_retryable: Annotated[list[Annotated[str, Field(max_length=253)]], Field(max_length=1024)] | None = None
    """Names of exception classes that aren't retried."""


class TaskPolicy(Shape):
    """Timeouts and retries, as the task declares them."""

    timeout_seconds: Seconds | None = None
    """Maximum duration of one attempt, in seconds."""
    schedule_to_close_seconds: Seconds | None = None
    """Maximum duration of the call over all attempts, in seconds."""
    heartbeat_timeout_seconds: Seconds | None = None
    """Maximum time between two heartbeats, in seconds. After it the attempt counts as hung."""
    auto_heartbeat_seconds: Seconds | None = None
    """Interval of the heartbeats that the runtime sends for the task, in seconds."""
    max_no_progress_seconds: Seconds | None = None
    """Maximum time without progress, in seconds."""
    progress_watchdog: Literal["off", "warn", "enforce"] | None = None
    """What happens after that time."""
    retry: Retry
    """How the task is retried."""


class TaskPod(PodShape, TaskAmounts):
    """What the task requests of its pod. The app's defaults apply to the rest."""

    model_config = ConfigDict(json_schema_extra={RULES: [TASK_ACCOUNT_RULE, *POD_RULES]})

    image: Image | None = None
    """Container image. Defaults to the app's."""
    node_selector: LabelMap | None = None
    """Labels that the node must have."""
    tolerations: Tolerations | None = None
    """Taints that the pod tolerates."""
    service_account_name: ObjectName | None = None
    """Service account of the pod."""
    secrets: Annotated[
        list[Annotated[str, Field(max_length=253)]] | None,
        Field(max_length=64, json_schema_extra={LIST_TYPE: "atomic"}),
    ] = None
    """The App's secrets that are mounted into the pod; all of them when absent."""


class Attempt(Shape):
    """One attempt that ended without a result."""

    attempt: int
    """Its number, from 1."""
    reason: str
    """Why it ended: `OOMKilled`, `TimedOut`, `NodeLost`, `Evicted`, the exception's class, …"""
    budget: Literal["App", "Disruption", "None"]
    """The budget that it is charged to: the task's retries (App), the disruption budget, or
    none."""
    message: str | None = None
    """The message of the exception or of the cluster."""
    node: str | None = None
    """Node that it ran on."""
    exit_code: int | None = None
    """Exit code of its container."""
    started_at: Timestamp | None = None
    """When its pod started."""
    finished_at: Timestamp | None = None
    """When it ended."""


class Log(Shape):
    """The end of the log of an attempt that failed."""

    attempt: int
    """Number of the attempt."""
    tail: Text
    """The last lines: up to 8 KiB if the attempt reported its failure, up to 2 KiB if its process
    died."""


class CallOutcome(Shape):
    """How a call ended that the run's driver executed itself. It is recorded with the call and
    never changes. The fields are those of the status of other calls."""

    phase: Outcome
    """Succeeded, Failed or Cancelled."""
    attempt: Annotated[int, Field(ge=1)]
    """Number of the last attempt."""
    output: FreeValue | None = None
    """What the task returned."""
    error: Failure | None = None
    """How the call failed, or why it was cancelled."""
    log: Log | None = None
    """The end of the log of the last attempt of a failed call."""
    attempts: (
        Annotated[list[Attempt], Field(max_length=OUTCOME_ATTEMPTS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})]
        | None
    ) = None
    """Attempts that ended without a result, oldest first. Only the latest are kept if there were
    many."""
    node: Annotated[str, Field(max_length=1024)] | None = None
    """Node of the driver."""
    started_at: Timestamp
    """When the last attempt began."""
    finished_at: Timestamp
    """When the call ended."""


PoolSeconds: TypeAlias = Annotated[float, Field(ge=0, le=MAX_POOL_SECONDS)]
"""A time for which pods are kept, a day at most."""
Concurrency: TypeAlias = Annotated[int, Field(ge=1, le=MAX_WORKER_CONCURRENCY)]
MaxCalls: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
REPLICAS_RULE: Final = rule("self.min <= self.max", "a pool's minimum is at most its maximum")


class Replicas(Shape):
    """Least and greatest size of a pool of warm pods."""

    model_config = ConfigDict(json_schema_extra={RULES: [REPLICAS_RULE]})

    min: Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
    """Pods that are kept while nothing is called."""
    max: Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
    """Most pods at the same time."""


class Reuse(Shape):
    """The pool of warm pods that executes the call."""

    replicas: Replicas
    """Size of the pool."""
    idle_ttl: PoolSeconds
    """Seconds without a call after which the pool shrinks to its minimum."""
    scaledown_ttl: PoolSeconds
    """Seconds for which a pod may be idle before it is removed, down to the minimum."""
    concurrency: Concurrency
    """Calls that one pod executes at the same time."""
    mode: ReuseMode
    """`process`: each call has its own process. `actor`: all calls of a pod share a process and its
    globals."""
    max_calls: MaxCalls | None = None
    """Calls after which a pod is replaced."""


class AppTaskSpec(Shape):
    """The call. The run's driver writes it once; it is immutable."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("self == oldSelf", "a task call never changes: its spec is immutable"),
                rule("self.role != 'timer' || has(self.seconds)", "a timer needs seconds", field=".seconds"),
                rule(
                    "has(self.app) == (self.role == 'inspect') && has(self.run) != has(self.app)",
                    "a call is of a run, an inspection of an app: one of the two is given",
                ),
                rule(
                    "(self.role == 'local') == has(self.outcome)",
                    "a call that the driver has executed itself comes with its outcome, and no other call does",
                    field=".outcome",
                ),
                rule(
                    "!has(self.reuse) || self.role == 'task'",
                    "only a task's call can be executed in a warm pod",
                    field=".reuse",
                ),
                rule(
                    "!has(self.outcome) || (self.outcome.phase == 'Succeeded') != has(self.outcome.error)",
                    "an outcome has an error unless it is Succeeded",
                    field=".outcome",
                ),
            ]
        }
    )

    run: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """The AppRun that made the call. Absent for an inspection."""
    app: Annotated[str, Field(min_length=1, max_length=APP_NAME_MAX_LENGTH)] | None = None
    """The App that is inspected. Only for an inspection."""
    role: Role
    """`driver` executes the route, `task` the body of one task. A `timer` has no pod. `inspect`
    imports an App's code and reports its contracts. `local` is a driver task: the driver has
    executed and recorded it."""
    key: Annotated[str, Field(max_length=KEY_LENGTH, pattern=rf"^({DRIVER_KEY}|[0-9a-f]{{{KEY_LENGTH}}})$")]
    """Identity of the call: the same in every replay of the route."""
    task: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the task. For a driver the name of the entry point, for a timer `sleep`."""
    entrypoint: Annotated[str, Field(max_length=128)] | None = None
    """Entry point of the run."""
    sequence: Annotated[int, Field(ge=0)] | None = None
    """Number of calls that the route made before this one. Pods are started in this order. The
    call's identity doesn't depend on it."""
    input: FreeObject | None = None
    """Input of the call."""
    identity: Identity | None = None
    """The parts that are hashed into the key."""
    policy: TaskPolicy | None = None
    """Timeouts and retries."""
    pod: TaskPod | None = None
    """What the task requests of its pod."""
    seconds: Seconds | None = None
    """For timers: seconds between the creation of the object and the end of the timer."""
    line: Annotated[str, Field(max_length=1024)] | None = None
    """Position of the call in the route, as `file:line`."""
    source_digest: Annotated[str, Field(max_length=128)] | None = None
    """Digest of the app's source files that the driver found. A task that finds other files isn't
    executed."""
    cleanup: bool | None = None
    """True for a call that the route made after it was cancelled. It is executed although the run
    is being cancelled."""
    outcome: CallOutcome | None = None
    """How the call ended, if the driver executed it itself (role `local`)."""
    reuse: Reuse | None = None
    """The pool of warm pods that executes the call. When absent, the call has its own pod."""


class Progress(Shape):
    """The progress that the task reports."""

    done: int | None = None
    """Units done."""
    total: int | None = None
    """Total number of units."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """What the task is doing."""


class Continuation(Shape):
    """The run that a route wants its run to continue as, after `continue_with`."""

    input: FreeObject
    """Input of the new run."""
    entrypoint: str
    """Entry point of the new run."""


CallKey: TypeAlias = Annotated[str, Field(max_length=KEY_LENGTH)]


class BegunWith(Shape):
    """The input that the route began with."""

    given_digest: Annotated[str, Field(max_length=64)]
    """Digest of the run's spec.input. If spec.input is corrected, this record no longer applies."""
    input: FreeObject
    """The run's input with its defaults filled in."""


class Parked(Shape):
    """A driver that has left while its route waits."""

    attempt: Annotated[int, Field(ge=1)]
    """The attempt that left."""
    ledger_length: Annotated[int, Field(ge=0)]
    """How many checkpoints it had delivered. When the ledger is longer, the next attempt starts."""
    open_calls: Annotated[int, Field(ge=0)]
    """How many calls the route waits for. When an AppTask of them is missing, the next attempt
    starts, and creates it again."""


class StateWrite(Shape):
    """One key of the app's state that the task saved."""

    key: Annotated[str, Field(max_length=1024)]
    """The key."""
    value: FreeObject | None = None
    """The value to store. Absent if the key is to be deleted."""
    based_on: str | None = None
    """Digest of the value that the task had loaded: empty if there was none, absent if the task
    hadn't loaded the key."""


class PodReference(Shape):
    """Exactly one pod, by name and uid."""

    name: ObjectName
    """Name of the pod, in the namespace of the AppTask."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""


class AppTaskStatus(Shape):
    """State of the call. The current attempt's pod writes its report here, the operator everything
    else. An admission policy enforces that."""

    model_config = ConfigDict(json_schema_extra={RULES: STATUS_RULES})

    phase: Annotated[
        TaskPhase | None,
        Field(json_schema_extra={"default": "Active"}),
    ] = None
    """Active (called and not finished), Waiting (can't start at present: see message), Saving
    (done, and its state is about to be stored), or one of the terminal phases Succeeded, Failed and
    Cancelled, which never change."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Number of the current attempt; 1 when absent. Its pod is `<apptask>-<attempt>-<first 8 digits
    of the owner's uid>`, and only that pod may report, unless `pod` names another."""
    pod: PodReference | None = None
    """The pod that executes the current attempt, if that pod is shared with other calls. Then only
    that pod, by name and uid, may report."""
    assigned_at: Timestamp | None = None
    """When the current attempt was assigned to that pod."""
    reported_attempt: Annotated[int, Field(ge=1)] | None = None
    """For a call in a warm pod: the attempt that the outcome is of."""
    output: FreeValue | None = None
    """What the task returned."""
    state: Annotated[list[StateWrite], Field(json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """The changes of the app's state that the task has saved."""
    error: Failure | None = None
    """How the latest attempt failed, or how the call failed if the phase is Failed."""
    log: Log | None = None
    """The end of the log of the latest failed attempt."""
    progress: Progress | None = None
    """The progress that the task reports."""
    heartbeat: FreeObject | None = None
    """Latest heartbeat details of the task. The next attempt gets them."""
    node: Annotated[str, Field(max_length=1024)] | None = None
    """Node of the current attempt."""
    started_at: Timestamp | None = None
    """When the current attempt began to execute the task."""
    finished_at: Timestamp | None = None
    """When the call ended."""
    continue_with: Continuation | None = None
    """For a driver: the route has ended, and the run continues as a new one."""
    abandoned: (
        Annotated[list[CallKey], Field(max_length=MAX_ABANDONED, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """For a driver: keys of calls that its route no longer waits for. They end as Cancelled, and
    their pods are deleted."""
    begun_with: BegunWith | None = None
    """For a driver: the input that the route began with, with its defaults filled in. Every later
    driver uses it, even if the defaults have changed."""
    parked: Parked | None = None
    """For a driver: the attempt has left, since the route waits and all that it waits for is
    recorded."""
    attempts: (
        Annotated[list[Attempt], Field(max_length=ATTEMPTS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Attempts that ended without a result, oldest first, with the reason and the budget that each
    was charged to."""
    not_before: Timestamp | None = None
    """Earliest start of the current attempt's pod: the backoff of a retry. For a restored timer:
    when it ends."""
    message: str | None = None
    """What the call waits for, or why its attempts ended and which budgets they were charged to, in
    one line."""
    restored_at: Timestamp | None = None
    """When `apprun import` restored the call. Absent for a call that the run's own driver made."""


class AppTask(Shape):
    """One task call of a run, owned by it. `kubectl get apptasks` shows a run's progress."""

    model_config = ConfigDict(json_schema_extra={RULES: [NAME_RULE]})

    spec: AppTaskSpec
    status: Annotated[
        AppTaskStatus | None, Field(json_schema_extra={"default": {"phase": "Active", "attempt": FIRST_ATTEMPT}})
    ] = None
