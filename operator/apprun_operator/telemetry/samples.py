"""Derives metric samples from accepted writes: runs that began or ended, calls committed, attempts
that failed.

Pure. The samples are read from the actions of a plan, since plans know no metrics. All times come
from objects, not from the process' memory, so a new leader also measures work that began before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, cast

from application_sdk.wire import names, reasons
from application_sdk.wire.fields import STALL_REASONS, TERMINAL_RUN_PHASES, AttemptFields, Checkpoint
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import Key, RunRecord, TaskRecord
from apprun_operator.plan.actions import ItemAction, PatchRun, PatchTask
from apprun_operator.plan.call import pod_status

Stage: TypeAlias = Literal["queue", "start", "run", "commit"]
STAGES: Final[tuple[Stage, ...]] = ("queue", "start", "run", "commit")

NO_APP: Final = "(none)"
"""App label of a run that was never resolved or couldn't be read."""
EXCEPTION: Final = "Exception"
"""Reason of every attempt that ended with an exception of the app: the number of its classes is
unbounded."""
OTHER: Final = "Other"

WAIT_REASONS: Final = frozenset(
    {
        "AdmissionUnavailable", "AppMissing", "AppNotFound", "ContainerNotStarted", "ContinuationRefused",
        "ImagePullFailed", "InitContainerFailed", "MarkRefused", "NameTaken", "NoContact", "OperatorNotAllowed",
        "PodForbidden", "PodInvalid", "PodNameTaken", "PodTerminating", "QuotaExceeded", "Restored", "Restoring",
        "RouteNotYielding", "SchedulingGated", "SdkNotFound", "SecretKeyNotFound", "SecretNotFound",
        "ServiceAccountNotAllowed", "ServiceAccountNotFound", "Unreadable", "Unschedulable", "VolumeNotMounted",
        *STALL_REASONS,
    }
)  # fmt: skip
"""Reasons for which a run or call waits, as in conditions and messages."""
END_REASONS: Final = WAIT_REASONS | {
    *reasons.ON_EVERY_ENGINE, *reasons.ON_A_CLUSTER, *pod_status.CLUSTER_REASONS,
    *(reason for reason, _ in pod_status.DISRUPTIONS.values()),
}  # fmt: skip
"""Reasons for which attempts end, other than exceptions."""


@dataclass(frozen=True, slots=True)
class RunBegan:
    """A run was started for the first time."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    outcome: str
    seconds: float | None
    """Since the run began; None if it never did."""


@dataclass(frozen=True, slots=True)
class CallCommitted:
    outcome: str
    stages: Mapping[Stage, float]
    """Seconds that the call spent in each stage, as far as they are known."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    role: str
    budget: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallAssigned:
    """A call was assigned to a warm pod."""


Sample: TypeAlias = RunBegan | RunEnded | CallCommitted | AttemptFailed | CallAssigned


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """The samples to record when a write has been accepted, and their app."""

    namespace: str
    app: str
    samples: tuple[Sample, ...] = ()


def app_of(run: RunRecord | None) -> str:
    """Name of a run's App, or of the class if the run has an inline app. Never the run's own name."""
    if run is None:
        return NO_APP
    name = (run.app or {}).get("name") or run.app_ref
    return name if isinstance(name, str) and name else NO_APP


def of_run(observed: Observed, action: PatchRun, now: float) -> SampleBatch:
    """Samples of a write to the run's status."""
    run, status = observed.run, action.status
    samples: list[Sample] = []
    if "startedAt" in status:
        samples.append(RunBegan())
    entries = cast("list[Checkpoint]", status.get("checkpoints") or [])
    for entry in entries[len(entries) - action.commits :] if action.commits else ():
        if entry["key"] != names.CANCEL_KEY:
            task = observed.tasks.get(names.task_name(run.meta.key.name, entry["key"]))
            samples.append(CallCommitted(entry["outcome"], {} if task is None else _stages(observed, task, now)))
            samples += [] if task is None or task.role != "local" else _recorded_failures(task)
    phase = status.get("phase")
    if phase in TERMINAL_RUN_PHASES and run.phase != phase:
        began = None if run.started_at is None else max(now - run.started_at, 0.0)
        samples.append(RunEnded(str(phase), began))
    resolved = status.get("app")
    if isinstance(resolved, dict):
        run = replace(run, app=resolved)
    return SampleBatch(run.meta.key.namespace, app_of(run), tuple(samples))


def of_item(run: Key, record: RunRecord | None, role: str, action: ItemAction) -> SampleBatch:
    """Samples of a write to one AppTask: its assignment, or the attempt whose end it records."""
    app = app_of(record)
    if isinstance(action, PatchTask) and action.status.get("assignedAt"):
        return SampleBatch(run.namespace, app, (CallAssigned(),))
    history = action.status.get("attempts") if isinstance(action, PatchTask) else None
    if not isinstance(history, list) or not history:
        return SampleBatch(run.namespace, app)
    ended = cast("AttemptFields", history[-1])
    return SampleBatch(run.namespace, app, (AttemptFailed(role, ended["budget"], end_reason(ended)),))


def end_reason(ended: AttemptFields) -> str:
    """The reason of an ended attempt, from a fixed set:

    `Exception` stands for every class that apps raise.
    """
    if ended["reason"] in END_REASONS:
        return ended["reason"]
    return EXCEPTION if ended["budget"] == "App" else OTHER


def wait_reason(reason: str) -> str:
    """The reason for which a run or call waits, from a fixed set."""
    return reason if reason in WAIT_REASONS else OTHER


def _recorded_failures(task: TaskRecord) -> list[Sample]:
    """Attempts of a driver task: the driver decides them, so they become known with the outcome."""
    return [AttemptFailed(task.role, entry["budget"], end_reason(entry)) for entry in task.attempts]


def _stages(observed: Observed, task: TaskRecord, now: float) -> Mapping[Stage, float]:
    """Seconds that a call spent in each stage; of its last attempt for the stages that each attempt
    has.

    Clocks of nodes may differ, so negative values become zero.
    """
    pod = observed.pods.get(task.pod_name)
    # A warm pod is older than the call, which has it from its assignment on.
    placed_at = task.assigned_at or (None if pod is None else _first_seen(pod))
    stages: dict[Stage, float] = {}
    if placed_at is not None and task.attempt == names.FIRST_ATTEMPT:
        stages["queue"] = placed_at - _first_seen(task)
    if placed_at is not None and task.started_at:
        stages["start"] = task.started_at - placed_at
    if task.started_at and task.finished_at:
        stages["run"] = task.finished_at - task.started_at
    if task.finished_at:
        stages["commit"] = now - task.finished_at
    return {stage: max(seconds, 0.0) for stage, seconds in stages.items()}


def _first_seen(record: TaskRecord | PodRecord) -> float:
    """When it was created, more precise than to the second unless an earlier operator saw it first."""
    return min(record.seen_at or record.meta.created, record.meta.created + 1.0)


def message_reason(message: str) -> str:
    """The reason that the message of a waiting call begins with."""
    return wait_reason(message.partition(":")[0])
