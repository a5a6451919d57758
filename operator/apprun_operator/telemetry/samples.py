"""What an accepted write means in figures: runs that began and ended, calls committed, attempts that failed.

Pure, and read off the actions of a plan: the plan itself knows no metrics. All times come out of the objects and the
store, not out of a process' memory, so a replica that has just taken over tells of work that began before it.
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
from apprun_operator.plan.run import pod_status

Stage: TypeAlias = Literal["queue", "start", "run", "commit"]
STAGES: Final[tuple[Stage, ...]] = ("queue", "start", "run", "commit")

NO_APP: Final = "(none)"
"""App of a run that was never resolved, or couldn't be read."""
EXCEPTION: Final = "Exception"
"""Reason of all attempts that ended by an exception of the app's own: its classes are without number."""
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
"""Reasons for which a run or call waits, as conditions and messages have them."""
END_REASONS: Final = WAIT_REASONS | {
    *reasons.ON_EVERY_ENGINE, *reasons.ON_A_CLUSTER, *pod_status.CLUSTER_REASONS,
    *(reason for reason, _ in pod_status.DISRUPTIONS.values()),
}  # fmt: skip
"""Reasons of attempts that ended, but for exceptions."""


@dataclass(frozen=True, slots=True)
class RunBegan:
    """A run was started for the first time."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    outcome: str
    seconds: float | None
    """Since it began; None for one that never did."""


@dataclass(frozen=True, slots=True)
class CallCommitted:
    outcome: str
    stages: Mapping[Stage, float]
    """Seconds that it spent in each, as far as they are known."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    role: str
    budget: str
    reason: str


Sample: TypeAlias = RunBegan | RunEnded | CallCommitted | AttemptFailed


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """What to count when a write has been accepted, and for which app."""

    namespace: str
    app: str
    samples: tuple[Sample, ...] = ()


def app_of(run: RunRecord | None) -> str:
    """Name of the App that a run runs; of the class where it stands in the run itself. Never the run's own name."""
    if run is None:
        return NO_APP
    name = (run.app or {}).get("name") or run.app_ref
    return name if isinstance(name, str) and name else NO_APP


def of_run(seen: Observed, action: PatchRun, now: float) -> SampleBatch:
    """Figures of a write to the run's status."""
    run, status = seen.run, action.status
    found: list[Sample] = []
    if "startedAt" in status:
        found.append(RunBegan())
    entries = cast("list[Checkpoint]", status.get("checkpoints") or [])
    for entry in entries[len(entries) - action.commits :] if action.commits else ():
        if entry["key"] != names.CANCEL_KEY:
            task = seen.tasks.get(names.task_name(run.meta.key.name, entry["key"]))
            found.append(CallCommitted(entry["outcome"], {} if task is None else _stages(seen, task, now)))
            found += [] if task is None or task.role != "local" else _recorded_failures(task)
    phase = status.get("phase")
    if phase in TERMINAL_RUN_PHASES and run.phase != phase:
        began = None if run.started_at is None else max(now - run.started_at, 0.0)
        found.append(RunEnded(str(phase), began))
    resolved = status.get("app")
    if isinstance(resolved, dict):
        run = replace(run, app=resolved)
    return SampleBatch(run.meta.key.namespace, app_of(run), tuple(found))


def of_item(run: Key, record: RunRecord | None, role: str, action: ItemAction) -> SampleBatch:
    """Figures of a write to one AppTask: the attempt that it answers, if it answers one."""
    app = app_of(record)
    history = action.status.get("attempts") if isinstance(action, PatchTask) else None
    if not isinstance(history, list) or not history:
        return SampleBatch(run.namespace, app)
    ended = cast("AttemptFields", history[-1])
    return SampleBatch(run.namespace, app, (AttemptFailed(role, ended["budget"], end_reason(ended)),))


def end_reason(ended: AttemptFields) -> str:
    """One of a fixed set: `Exception` stands for all classes that apps may raise."""
    if ended["reason"] in END_REASONS:
        return ended["reason"]
    return EXCEPTION if ended["budget"] == "App" else OTHER


def wait_reason(reason: str) -> str:
    """The same for what a run or call waits for."""
    return reason if reason in WAIT_REASONS else OTHER


def _recorded_failures(task: TaskRecord) -> list[Sample]:
    """Attempts of a driver task: they were answered by the driver, so they come to be known with the outcome only."""
    return [AttemptFailed(task.role, entry["budget"], end_reason(entry)) for entry in task.attempts]


def _stages(seen: Observed, task: TaskRecord, now: float) -> Mapping[Stage, float]:
    """Where the time of a call went, its last attempt's for what each attempt has. Clocks of nodes may be off, so
    nothing is less than zero."""
    pod = seen.pods.get(task.pod_name)
    made = None if pod is None else _first_seen(pod)
    found: dict[Stage, float] = {}
    if made is not None and task.attempt == names.FIRST_ATTEMPT:
        found["queue"] = made - _first_seen(task)
    if made is not None and task.started_at:
        found["start"] = task.started_at - made
    if task.started_at and task.finished_at:
        found["run"] = task.finished_at - task.started_at
    if task.finished_at:
        found["commit"] = now - task.finished_at
    return {stage: max(seconds, 0.0) for stage, seconds in found.items()}


def _first_seen(record: TaskRecord | PodRecord) -> float:
    """When it was made, better than to the second unless an earlier operator saw that."""
    return min(record.seen_at or record.meta.created, record.meta.created + 1.0)


def message_reason(message: str) -> str:
    """The reason that the message of a waiting call begins with."""
    return wait_reason(message.partition(":")[0])
