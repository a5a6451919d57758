"""AppTask: one task call of a run. Drivers create them, pods report into the status, the operator decides attempts.

Must agree with `application_sdk.wire.fields`; people only read these objects.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from application_sdk.wire.fields import MAX_ABANDONED, MAX_COEFFICIENT, MAX_SECONDS, Outcome, Role, TaskPhase
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
    Quantity,
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
    """The parts whose hash is the key, readable, so that a diverged route can be told which of them changed."""

    input_digest: str
    """Digest of the call's input."""
    lineage: str
    """Identity of the last checkpoint that this branch of the route had consumed."""
    occurrence: int
    """How many equal calls came before this one."""
    keyed_by: str | None = None
    """The key that the app gave by hand; the other parts don't count then."""


class Retry(Shape):
    """How often, and after how long, a failure of the task's own code is tried again."""

    max_attempts: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Attempts in all that the task's own failures may use up. What the cluster breaks is counted apart."""
    initial_interval_seconds: Seconds
    """Seconds before the second attempt."""
    max_interval_seconds: Seconds
    """Longest time, in seconds, between two attempts."""
    backoff_coefficient: Annotated[float, Field(ge=0, le=MAX_COEFFICIENT)]
    """Factor by which the time between attempts grows."""
    non_retryable: Annotated[list[Annotated[str, Field(max_length=253)]], Field(max_length=1024)] | None = None
    """Names of error classes that no further attempt can help."""


class TaskPolicy(Shape):
    """Deadlines and retries, as the task declares them."""

    timeout_seconds: Seconds | None = None
    """Longest time, in seconds, that one attempt may take."""
    schedule_to_close_seconds: Seconds | None = None
    """Longest time, in seconds, from the call to its end, over all attempts."""
    heartbeat_timeout_seconds: Seconds | None = None
    """Longest time, in seconds, between two heartbeats before an attempt counts as hung."""
    auto_heartbeat_seconds: Seconds | None = None
    """How often, in seconds, the runtime beats on the task's behalf."""
    max_no_progress_seconds: Seconds | None = None
    """Longest time, in seconds, without progress."""
    progress_watchdog: Literal["off", "warn", "enforce"] | None = None
    """What happens when that time is over."""
    retry: Retry
    """How often it is tried again."""


class TaskPod(Shape):
    """What the task asks of its pod; the app's defaults fill the rest."""

    model_config = ConfigDict(json_schema_extra={RULES: [TASK_ACCOUNT_RULE]})

    image: Image | None = None
    """Container image, when it isn't the app's."""
    cpu: Quantity | None = None
    """CPU request and limit."""
    memory: Quantity | None = None
    """Memory request and limit."""
    node_selector: LabelMap | None = None
    """Labels that the node must have."""
    tolerations: Tolerations | None = None
    """Taints that the pod accepts."""
    service_account_name: ObjectName | None = None
    """Service account of the pod."""
    secrets: Annotated[
        list[Annotated[str, Field(max_length=253)]] | None,
        Field(max_length=64, json_schema_extra={LIST_TYPE: "atomic"}),
    ] = None
    """The App's secrets that the pod is given; all of them when absent."""


class Attempt(Shape):
    """One attempt that has ended without a result."""

    attempt: int
    """Its number, from 1."""
    reason: str
    """Why it ended: `OOMKilled`, `TimedOut`, `NodeLost`, `Evicted`, the exception's class, …"""
    budget: Literal["App", "Disruption", "None"]
    """Whom it is charged to: the task's own retries, the disruption budget, or nobody."""
    message: str | None = None
    """What happened, in the words of the exception or of the cluster."""
    node: str | None = None
    """Node that it ran on."""
    exit_code: int | None = None
    """Exit code of its container."""
    started_at: Timestamp | None = None
    """When its pod began."""
    finished_at: Timestamp | None = None
    """When it ended, or was given up."""


class Log(Shape):
    """The end of the log of an attempt that failed."""

    attempt: int
    """The attempt."""
    tail: Text
    """Its last lines: 8 KiB where the attempt reported its failure itself, 2 KiB where its process died."""


class CallOutcome(Shape):
    """How a call ended that the run's driver has executed itself. Recorded with the call, so it never changes; the
    fields are those of the status of other calls."""

    phase: Outcome
    """Succeeded, Failed or Cancelled."""
    attempt: Annotated[int, Field(ge=1)]
    """Number of the last attempt."""
    output: FreeValue | None = None
    """What the task returned."""
    error: Failure | None = None
    """How the call failed, or why it was cancelled."""
    log: Log | None = None
    """What the last attempt of a call that failed had logged and printed last."""
    attempts: (
        Annotated[list[Attempt], Field(max_length=OUTCOME_ATTEMPTS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})]
        | None
    ) = None
    """Attempts that ended without a result, oldest first, the latest of them where there were many."""
    node: Annotated[str, Field(max_length=1024)] | None = None
    """Node of the driver."""
    started_at: Timestamp
    """When the last attempt began."""
    finished_at: Timestamp
    """When the call ended."""


class AppTaskSpec(Shape):
    """The call: written once, by the run's driver, and never changed."""

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
                    "!has(self.outcome) || (self.outcome.phase == 'Succeeded') != has(self.outcome.error)",
                    "an outcome has an error unless it is Succeeded",
                    field=".outcome",
                ),
            ]
        }
    )

    run: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """The AppRun that made the call; absent for an inspection."""
    app: Annotated[str, Field(min_length=1, max_length=APP_NAME_MAX_LENGTH)] | None = None
    """The App that is inspected."""
    role: Role
    """`driver` executes the route, `task` the body of one task; a `timer` has no pod. `inspect` imports an App's code,
    once, and reports what it contains. `local` is a driver task, which its driver has executed and recorded."""
    key: Annotated[str, Field(max_length=KEY_LENGTH, pattern=rf"^({DRIVER_KEY}|[0-9a-f]{{{KEY_LENGTH}}})$")]
    """Identity of the call: the same in every replay of the route."""
    task: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the task; for a driver that of the entry point, for a timer `sleep`."""
    entrypoint: Annotated[str, Field(max_length=128)] | None = None
    """Entry point of the run."""
    sequence: Annotated[int, Field(ge=0)] | None = None
    """How many calls the route had made before this one. For people, and for a fair order; identity
    never rests on it."""
    input: FreeObject | None = None
    """Input of the call."""
    identity: Identity | None = None
    """The parts that the key is made of."""
    policy: TaskPolicy | None = None
    """Deadlines and retries."""
    pod: TaskPod | None = None
    """What the task asks of its pod."""
    seconds: Seconds | None = None
    """Timers: how long after the object's creation it fires."""
    line: Annotated[str, Field(max_length=1024)] | None = None
    """`file:line` of the call in the route."""
    source_digest: Annotated[str, Field(max_length=128)] | None = None
    """Digest of the app's source as its driver was given it. A task that finds other files there isn't executed."""
    cleanup: bool | None = None
    """True for a call that the route made after it was cancelled: it runs although its run is being cancelled."""
    outcome: CallOutcome | None = None
    """How the call ended, for one that the driver has executed itself (role `local`)."""


class Progress(Shape):
    """How far the task says that it is."""

    done: int | None = None
    """Units done."""
    total: int | None = None
    """Units in all."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """What it is doing."""


class Continuation(Shape):
    """How a route wants its run to go on, when it ended with `continue_with`."""

    input: FreeObject
    """Input of the new run."""
    entrypoint: str
    """Entry point of the new run."""


CallKey: TypeAlias = Annotated[str, Field(max_length=KEY_LENGTH)]


class BegunWith(Shape):
    """The input that a route began with."""

    given_digest: Annotated[str, Field(max_length=64)]
    """Digest of the run's spec.input. When that is corrected, what is recorded here is void."""
    input: FreeObject
    """The run's input with its defaults filled in."""


class StateWrite(Shape):
    """One key of the app's state that the task saved."""

    key: Annotated[str, Field(max_length=1024)]
    """The key."""
    value: FreeObject | None = None
    """What is to be kept; absent when the key is to be forgotten."""
    based_on: str | None = None
    """Digest of what the task had loaded under that key; empty for nothing, absent if it hadn't loaded it."""


class PodReference(Shape):
    """One pod, and no namesake of it."""

    name: ObjectName
    """Name of the pod, in the namespace of the AppTask."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid."""


class AppTaskStatus(Shape):
    """How the call goes. The current attempt's pod writes its report here, the operator the rest; the admission policy
    tells them apart."""

    model_config = ConfigDict(json_schema_extra={RULES: STATUS_RULES})

    phase: Annotated[
        TaskPhase | None,
        Field(json_schema_extra={"default": "Active"}),
    ] = None
    """Active (called, not finished), Waiting (can't start for now: see message), Saving (done, its state about to be
    kept), and the three ends Succeeded, Failed and Cancelled, which never change again."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Number of the current attempt; 1 when absent. Its pod is `<apptask>-<attempt>-<first 8 digits of the owner's
    uid>`, and only that pod may report, unless `pod` names another."""
    pod: PodReference | None = None
    """The pod that the current attempt is assigned to, where it shares one with other calls. Only that pod, by name and
    uid, may report then."""
    output: FreeValue | None = None
    """What the task returned."""
    state: Annotated[list[StateWrite], Field(json_schema_extra={LIST_TYPE: "atomic"})] | None = None
    """What the task wants kept of the app's state."""
    error: Failure | None = None
    """How the latest attempt failed; how the call failed once the phase is Failed."""
    log: Log | None = None
    """What the latest attempt that failed had logged and printed last."""
    progress: Progress | None = None
    """How far the task says that it is."""
    heartbeat: FreeObject | None = None
    """Latest heartbeat details of the task; handed to the next attempt."""
    node: Annotated[str, Field(max_length=1024)] | None = None
    """Node of the current attempt."""
    started_at: Timestamp | None = None
    """When the body of the current attempt began."""
    finished_at: Timestamp | None = None
    """When the call ended."""
    continue_with: Continuation | None = None
    """Of a driver: the route has ended and the run goes on as a new one."""
    abandoned: (
        Annotated[list[CallKey], Field(max_length=MAX_ABANDONED, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Of a driver: keys of calls that its route no longer waits for. They end as Cancelled, their pods are deleted."""
    begun_with: BegunWith | None = None
    """Of a driver: the input that the route began with, where defaults were filled in. Each later driver begins with
    it, whatever the defaults are by then."""
    attempts: (
        Annotated[list[Attempt], Field(max_length=ATTEMPTS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "atomic"})] | None
    ) = None
    """Attempts that ended without a result, oldest first, with reason and the budget that each was charged to."""
    not_before: Timestamp | None = None
    """Earliest start of the current attempt's pod: the backoff of a retry. Of a timer that was restored: when it is
    due."""
    message: str | None = None
    """One line for people: what the call waits for, and why and at whose charge attempts ended so far."""
    restored_at: Timestamp | None = None
    """When `apprun import` brought it back. Absent on a call that its own driver has made."""


class AppTask(Shape):
    """One task call of a run, owned by it. `kubectl get apptasks` shows a run's progress."""

    model_config = ConfigDict(json_schema_extra={RULES: [NAME_RULE]})

    spec: AppTaskSpec
    status: Annotated[
        AppTaskStatus | None, Field(json_schema_extra={"default": {"phase": "Active", "attempt": FIRST_ATTEMPT}})
    ] = None
