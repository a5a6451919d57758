"""Shapes of what crosses between route, operator and task: specs, statuses, the ledger, the call in
a pod's annotation.

Plain dictionaries in JSON, typed here, in camelCase as Kubernetes writes them. The models that
generate the CRDs live in the operator; `tests/unit/api/test_wire_agrees_with_crds.py` holds the two
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NotRequired, TypeAlias, TypedDict

from application_sdk.wire.digest import JSON, JSONObject

if TYPE_CHECKING:
    from application_sdk.wire.pod_fields import PodFields

REPLAY_RULES: Final = 2
"""Version of the rules of `replay.identity` and `replay.route` under which runs begin. Each keeps
the one that it began with."""
KNOWN_REPLAY_RULES: Final = (1, 2)
"""Versions under which runs go on. 1: the whole input is part of a call's identity, and each life
of a route reads the run's input as it was written. 2: what equals its default isn't, and the input
is completed once."""

MAX_PAYLOAD_BYTES: Final = 240 * 1024
"""Limit of an input or output, in bytes of its JSON (`wire.size`), on every engine: an input
travels in an annotation of its pod, and Kubernetes caps all annotations at 256 KiB. The rest is for
heartbeat details and the call's fields."""
MAX_HEARTBEAT_BYTES: Final = 8 * 1024
"""Limit of heartbeat details, which travel beside the input to the next attempt's pod."""
MAX_STATE_BYTES: Final = 96 * 1024
"""Limit of all state that an app keeps, in bytes of its JSON: a pod gets it in one environment
variable, which Linux caps at 128 KiB."""
MAX_STATE_KEYS: Final = 4096

MAX_SECONDS: Final = 3_155_760_000
"""A century: the longest time that a policy or timer may name. Longer ones leave the calendar, or
overflow."""
MAX_COEFFICIENT: Final = 1000
"""By so much may each wait between attempts be longer than the one before."""

PAGE_SIZE: Final = 128
TAIL_LIMIT: Final = PAGE_SIZE + 8
"""When the status holds this many checkpoints, the oldest `PAGE_SIZE` of them move to a page. The API
server's time for a commit grows with what stays."""

MAX_ABANDONED: Final = 1000
"""So many calls that its route no longer waits for does a driver name at a time. Others go on to
their ends."""

MAX_CONTRACTS_BYTES: Final = 200 * 1024
"""Limit of what an inspection reports of an app, in bytes of its JSON: it is given to the next
inspection in its pod's annotation, to be compared with."""

MAX_DRIVER_TASK_SECONDS: Final = 60
"""The longest that all attempts of a driver task may take together, with the waits between them:
what isn't recorded is executed again by the next driver."""

MAX_INBOX_BYTES: Final = 900 * 1024
"""Limit of all calls in one inbox, in bytes of their JSON. A call that doesn't fit waits its turn."""
MAX_REPLICAS: Final = 1000
"""The largest pool of warm pods."""
MAX_WORKER_CONCURRENCY: Final = 64
"""So many calls may one warm pod execute at a time."""
MAX_INBOX_CALLS: Final = 2 * MAX_WORKER_CONCURRENCY
"""How many calls an inbox may hold: those that its pod executes, and as many that wait behind them."""
MAX_POOL_SECONDS: Final = 86_400
"""The longest that an idle warm pod may be kept beyond the pool's minimum: a day."""

ReuseMode: TypeAlias = Literal["process", "actor"]
"""How a warm pod executes a call: in a process of its own, or in one that all its calls share."""
RunsIn: TypeAlias = Literal["pod", "driver"]
"""Where a task is executed: in a pod of its own, or in a process beside the route."""
Role: TypeAlias = Literal["driver", "task", "timer", "inspect", "local"]
"""`local` is a call that the driver has executed itself: its AppTask comes with the outcome."""
TaskPhase: TypeAlias = Literal["Active", "Waiting", "Saving", "Succeeded", "Failed", "Cancelled"]
"""`Active` is the CRD's default: called, not finished. `Waiting` comes with a message that says
what for. `Saving` is written by a pod whose task has succeeded and wants state kept: it has
succeeded once the operator has kept that."""
Outcome: TypeAlias = Literal["Succeeded", "Failed", "Cancelled"]
RunPhase: TypeAlias = Literal[
    "Pending", "Running", "Suspended", "Stalled", "Cancelling", "Succeeded", "Failed", "Cancelled"
]

TERMINAL_TASK_PHASES: Final[frozenset[TaskPhase]] = frozenset({"Succeeded", "Failed", "Cancelled"})
TERMINAL_RUN_PHASES: Final[frozenset[RunPhase]] = frozenset({"Succeeded", "Failed", "Cancelled"})

StallReason: TypeAlias = Literal[
    "LoadFailed", "EntrypointNotFound", "InvalidInput", "NonDeterministicRun", "LedgerUnreadable", "CodeChanged"
]
"""Ends of a driver that only a person can mend: the run waits, `Stalled`, until its App or its spec
is corrected. `CodeChanged` is an end of tasks too."""
STALL_REASONS: Final[frozenset[StallReason]] = frozenset(
    {"LoadFailed", "EntrypointNotFound", "InvalidInput", "NonDeterministicRun", "LedgerUnreadable", "CodeChanged"}
)


class RetryFields(TypedDict):
    """How often, and after how long, what the task's own code did is tried again. Times in
    seconds."""

    maxAttempts: int
    initialIntervalSeconds: float
    maxIntervalSeconds: float
    backoffCoefficient: float
    nonRetryable: NotRequired[list[str]]
    """Names of error classes that are permanent, beside `NonRetryableError`."""


class Policy(TypedDict):
    """The declared policy of one task call. Times in seconds; an absent field means no limit."""

    timeoutSeconds: NotRequired[float]
    scheduleToCloseSeconds: NotRequired[float]
    heartbeatTimeoutSeconds: NotRequired[float]
    autoHeartbeatSeconds: NotRequired[float]
    maxNoProgressSeconds: NotRequired[float]
    progressWatchdog: NotRequired[Literal["off", "warn", "enforce"]]
    retry: RetryFields


class ReplicaFields(TypedDict):
    """How many pods a pool keeps, and how many it may have."""

    min: int
    max: int


class ReuseFields(TypedDict):
    """A task's `ReusePolicy` with its defaults filled in: its calls share pods. Times in seconds."""

    replicas: ReplicaFields
    idleTtl: float
    """A pool for which nothing was called for so long goes down to its minimum."""
    scaledownTtl: float
    """A pod that was idle for so long is taken away, down to the pool's minimum."""
    concurrency: int
    """Calls that one pod executes at a time."""
    mode: ReuseMode
    maxCalls: NotRequired[int]
    """After so many calls a pod makes way for a new one. Absent: never."""


class PodReference(TypedDict):
    """One pod, and no namesake of it."""

    name: str
    uid: str


class Identity(TypedDict):
    """The parts whose hash is a call's key, kept readable so that a divergence can name the one
    that changed."""

    inputDigest: str
    lineage: str
    occurrence: int
    keyedBy: NotRequired[str]
    """The key that the user gave with `.keyed()`; the other parts don't count then."""


class CallOutcome(TypedDict):
    """AppTask.spec.outcome: how a call ended that the driver has executed itself. Named as in the
    status of others."""

    phase: Outcome
    attempt: int
    """Number of the last attempt."""
    output: NotRequired[JSON]
    error: NotRequired[ErrorFields]
    log: NotRequired[LogFields]
    attempts: NotRequired[list[AttemptFields]]
    node: NotRequired[str]
    startedAt: str
    finishedAt: str


class TaskSpec(TypedDict):
    """AppTask.spec: one call, immutable, written by the driver (the driver's own by the
    operator)."""

    run: NotRequired[str]
    """The run that made the call. An inspection has an app instead."""
    app: NotRequired[str]
    role: Role
    key: str
    task: str
    """Task name; for the driver the entry point's, for a timer `sleep`."""
    entrypoint: NotRequired[str]
    sequence: NotRequired[int]
    """How many calls the route had made before this one. For people and fair order: identity never
    rests on it."""
    input: NotRequired[JSONObject]
    identity: NotRequired[Identity]
    policy: NotRequired[Policy]
    pod: NotRequired[PodFields]
    seconds: NotRequired[float]
    """Timers: how long after the object's creation it fires."""
    line: NotRequired[str]
    """`file:line` of the call in the route."""
    sourceDigest: NotRequired[str]
    """Of the files that the route's driver was given as the app's source: the task is executed with
    the same ones."""
    cleanup: NotRequired[bool]
    """The route made the call after it was cancelled, so it is executed although the run is being
    cancelled."""
    outcome: NotRequired[CallOutcome]
    """Calls of the role `local`: how it ended, recorded together with the call."""
    reuse: NotRequired[ReuseFields]
    """The call is executed in a warm pod of a pool. Absent: in a pod of its own."""


class ContinuationFields(TypedDict):
    """How a route wants its run to go on: `continue_with`."""

    input: JSONObject
    entrypoint: str


CANCELLED: Final = "Cancelled"
"""`type` of the error that a driver reports when its route ended by cancellation."""


class ErrorFields(TypedDict):
    """A failure as data: of one attempt, of a task call, of a run."""

    type: str
    """Name of the original exception's class, or the reason when it was no exception (`OOMKilled`,
    `TimedOut`)."""
    message: str
    traceback: NotRequired[str]
    attempt: NotRequired[int]
    retryable: NotRequired[bool]
    retryAfterSeconds: NotRequired[float]
    """How long the task wants the next attempt to wait, in place of its policy's backoff."""
    stall: NotRequired[StallReason]
    """Set by a driver whose run must wait for a person."""


class AttemptFields(TypedDict):
    """One ended attempt, in AppTask.status.attempts."""

    attempt: int
    reason: str
    budget: Literal["App", "Disruption", "None"]
    message: NotRequired[str]
    node: NotRequired[str]
    exitCode: NotRequired[int]
    startedAt: NotRequired[str]
    finishedAt: NotRequired[str]


class LogFields(TypedDict):
    """What is kept of the log of an attempt that failed."""

    attempt: int
    tail: str
    """The last lines, at most `wire.logs.LOG_TAIL_BYTES`."""


class ProgressFields(TypedDict, total=False):
    done: int
    total: int
    message: str


class StateWrite(TypedDict):
    """One key of the app's state that a task wants kept."""

    key: str
    value: NotRequired[JSONObject]
    """Absent: the key is to be forgotten."""
    basedOn: NotRequired[str]
    """Digest of what the task had loaded under that key, empty for nothing. It is kept only if that
    is still there. Absent: it is kept whatever is there."""


class BegunWith(TypedDict):
    """What a driver records before its first call: later drivers begin with it, whatever the
    defaults are then."""

    givenDigest: str
    """Of the run's `spec.input`, which may be corrected as long as nothing is committed: the record
    is void then."""
    input: JSONObject
    """The run's input with its defaults filled in."""


class ParkedFields(TypedDict):
    """What a driver says when it leaves a route that waits."""

    attempt: int
    """The attempt that leaves."""
    ledgerLength: int
    """How many checkpoints it has delivered to the route."""
    openCalls: int
    """How many calls the route waits for, timers too. Each has an AppTask."""


class TaskStatus(TypedDict, total=False):
    """AppTask.status. The current attempt's pod writes phase (`Succeeded` or `Saving`), output,
    reportedAttempt, state, error, log, continueWith, begunWith, abandoned, parked, progress,
    heartbeat, node, startedAt and finishedAt; the operator writes the rest. The admission policy
    holds both to it."""

    phase: TaskPhase
    attempt: int
    pod: PodReference
    """The pod that the current attempt is assigned to. Absent: the pod that is named after the
    attempt."""
    assignedAt: str
    """When it was. A warm pod that doesn't answer some seconds after it was told is passed over."""
    reportedAttempt: int
    """Warm pods: the attempt whose outcome this is. The pod of the current attempt may be that of
    the one before it."""
    output: JSON
    state: list[StateWrite]
    """What the task wants kept, before it counts as succeeded."""
    error: ErrorFields
    log: LogFields
    """Of the latest attempt that failed: reported by it, or else what kubelet kept of its
    output."""
    progress: ProgressFields
    heartbeat: JSONObject
    """Latest heartbeat details; handed to the next attempt."""
    node: str
    startedAt: str
    finishedAt: str
    continueWith: ContinuationFields
    """Drivers: the route has ended, and its run goes on as a new one."""
    abandoned: list[str]
    """Drivers: keys of calls that the route no longer waits for, and that aren't committed. The
    operator ends them."""
    begunWith: BegunWith
    """Drivers: the input that the route began with, where defaults were filled in."""
    parked: ParkedFields
    """Drivers: the attempt has left, since the route waits and everything that it waits for is
    recorded."""
    attempts: list[AttemptFields]
    notBefore: str
    """Earliest start of the current attempt's pod: the retry's backoff. Of a restored timer: when
    it is due."""
    message: str
    restoredAt: str
    """When an import brought it back."""


class Checkpoint(TypedDict):
    """One committed completion: an entry of AppRun.status.checkpoints or of a page. Its place is
    the order."""

    sequence: int
    """Position in the ledger, from 0."""
    key: str
    task: str
    outcome: Outcome
    attempts: int
    digest: str
    """`digest.digest` of the output, or of the error for a failure."""
    at: str
    """Commit time, RFC 3339 in UTC. The route's clock reads it."""
    node: NotRequired[str]


class Call(TypedDict):
    """The `CALL_ANNOTATION` of a pod, or an entry in the inbox of a warm one."""

    namespace: str
    run: str
    runUid: str
    """Uid of the AppRun: owner of the AppTasks that its driver creates."""
    originUid: NotRequired[str]
    """Of a run that was restored: the uid that it began with. Its files, its route's random numbers
    and its idempotency keys go by it. Absent: `runUid`."""
    appTask: str
    """Name of the AppTask to report to."""
    attempt: int
    role: Role
    key: str
    task: str
    entry: str
    """`module:Class`."""
    entrypoint: NotRequired[str]
    input: JSONObject
    policy: NotRequired[Policy]
    heartbeat: NotRequired[JSONObject]
    idempotencyKey: str
    """The same for every attempt of this call: `<uid that the run began with>/<key>`."""
    correlationId: str
    sourceDigest: NotRequired[str]
    """Of the files that the run began with, where that is known: the pod works with no others."""
    replayRules: NotRequired[int]
    """Driver only."""
    state: NotRequired[JSONObject]
    """Warm pods only: the app's state, by key. A cold pod has it in `names.STATE_VARIABLE`."""
    node: NotRequired[str]


class WorkerSpec(TypedDict):
    """AppWorker.spec: which pod of which pool the inbox belongs to. Immutable."""

    pool: str
    """Name of the pool: `names.pool_name`."""
    app: str
    """Name of the App that owns the pool; of the AppRun, where the app is written in it."""
    slot: int
    """Number of the pod in its pool, from 0. Both have the name `names.slot_name`."""


class WorkerCall(TypedDict):
    """One call in a warm pod's inbox. `(uid, attempt)` tells it from every other."""

    appTask: str
    uid: str
    """Uid of the AppTask."""
    attempt: int
    call: Call


class WorkerStatus(TypedDict, total=False):
    """AppWorker.status: the inbox of one warm pod, written by the operator, read by the pod."""

    pod: PodReference
    """The pod that this inbox is for. Any other one, also a namesake, leaves it alone."""
    calls: list[WorkerCall]
    """The open calls that are assigned to that pod: what is missing from it is no longer wanted."""
    drain: bool
    """The pod exits as soon as nothing is open: no further call is assigned to it."""


class ContractFields(TypedDict):
    """One entry point or task of an app, for people. The schemas stand apart."""

    name: str
    description: NotRequired[str]
    default: NotRequired[bool]
    """Set on the entry point that runs which name none are given."""
    runsIn: NotRequired[RunsIn]
    """Where the code has the task executed; absent for a pod."""
    reuse: NotRequired[ReuseFields]
    """The pool of warm pods that the code has the task's calls executed in; absent for none."""
    takes: list[str]
    """The input's fields, a line each: `name: string = "World"`."""
    returns: list[str]
    """The output's fields."""


class ContractSchemas(TypedDict):
    """JSON Schemas of one entry point or task. Either is left out when an app's schemas are too
    large for its App."""

    input: NotRequired[JSONObject]
    output: NotRequired[JSONObject]


class AppSchemas(TypedDict):
    """By name."""

    entrypoints: dict[str, ContractSchemas]
    tasks: dict[str, ContractSchemas]


class Findings(TypedDict):
    """What an inspection reports as its output: what the code contains, and what is incompatible
    with `published`."""

    app: str
    version: str
    sdkVersion: str
    sourceDigest: NotRequired[str]
    """Of the files that were mounted as the app's source; absent when its code is in the image."""
    defaultEntrypoint: str
    entrypoints: list[ContractFields]
    tasks: list[ContractFields]
    schemas: AppSchemas
    changes: list[str]
    """Incompatible changes, in sentences."""
    omitted: NotRequired[str]
    """What was left out because it is too large."""


class Report(TypedDict, total=False):
    """What a pod patches into its AppTask's status, in one write, just before it ends."""

    phase: Literal["Succeeded", "Saving"]
    reportedAttempt: int
    output: JSON
    state: list[StateWrite]
    continueWith: ContinuationFields
    error: ErrorFields | None
    log: LogFields
    progress: ProgressFields
    heartbeat: JSONObject
    node: str
    startedAt: str
    finishedAt: str
    parked: ParkedFields
