"""Actions: what a plan may ask for. Frozen values, one request to the API server each.

`act.executor` executes those about runs, pods and AppTasks, `act.app_executor` those about Apps;
tests compare them.

Every write to an object that others write too carries the `version` that was planned with, as its
precondition: if the object has changed since, it is planned again. No two objects ever have the
same version, so it also tells an object from a later one of the same name, and a uid isn't needed
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.records import Key
from apprun_operator.observe.workers import Offer

# About the run as a whole


@dataclass(frozen=True, slots=True)
class PatchRun:
    """Merge `status` into the run's status: commits, conditions and ends are all this.

    With `exact` each field is replaced, since a merge would drop the nulls inside of an output.
    """

    run: Key
    version: int
    status: JSONObject
    commits: int = 0
    """How many calls it commits, for metrics."""
    exact: bool = False


@dataclass(frozen=True, slots=True)
class MarkRun:
    """Annotate the run with the uid under which it is about to begin. A rejection is kept in the
    cache."""

    run: Key
    version: int
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePage:
    """Store older checkpoints in an immutable AppLedger, before the status drops them."""

    page: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class FetchPage:
    """Read a page that the run counts and the cache lacks. Until then nothing may be committed."""

    run: Key
    number: int


@dataclass(frozen=True, slots=True)
class FetchTask:
    """Read the AppTask of a committed call that the cache lacks: its event may be late, or it may
    be lost."""

    run: Key
    name: str


@dataclass(frozen=True, slots=True)
class FetchPodEvent:
    """Read the Events in which the kubelet says why a pod doesn't start."""

    run: Key
    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class WriteState:
    """Store the state that tasks have saved, before they count as succeeded. Without `uid` the
    object is created."""

    state: Key
    uid: str
    version: int
    body: JSONObject


@dataclass(frozen=True, slots=True)
class EnsureNamespace:
    """Create the service accounts and role bindings that the pods of a namespace need, `pod` being
    the next one."""

    run: Key
    pod: str


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create the run that `run` continues as. A rejection is kept in the cache, for the plans of
    `run`."""

    run: Key
    successor: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class Announce:
    """Create this Event, or count one more of it. Nothing depends on whether that works."""

    event: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete a finished run whose retention is over, and with it everything that it owns."""

    run: Key
    uid: str


# About one pod or AppTask


@dataclass(frozen=True, slots=True)
class CreateTask:
    """Create the AppTask of a driver or an inspection."""

    task: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class PatchTask:
    """Replace these fields of an AppTask's status: its next attempt, its end, what it waits for.

    None removes a field. No field is merged, so that nothing of an earlier attempt's error is left
    in a later one's.
    """

    task: Key
    version: int
    status: JSONObject


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the pod of one attempt, or adopt it if it exists and belongs to the AppTask with that
    uid."""

    pod: Key
    task_uid: str
    body: JSONObject


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete exactly this pod."""

    pod: Key
    uid: str


# About an App


@dataclass(frozen=True, slots=True)
class ApplyHandler:
    """Apply the Service and the Deployment of an App's handler, unless objects of that name aren't
    the App's.

    What became of them is a `HandlerDeployment` in the cache.
    """

    app: Key
    app_uid: str
    name: str
    generation: int
    service: JSONObject
    deployment: JSONObject


@dataclass(frozen=True, slots=True)
class RemoveHandler:
    """Delete the Service and the Deployment of that name, as far as they are the App's."""

    app: Key
    app_uid: str
    name: str


@dataclass(frozen=True, slots=True)
class PatchApp:
    """Replace these fields of the App's status. None removes a field."""

    app: Key
    version: int
    status: JSONObject


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Delete the AppTask of an inspection, and with it its pod."""

    task: Key
    uid: str


RunAction: TypeAlias = (
    PatchRun
    | MarkRun
    | CreatePage
    | FetchPage
    | FetchTask
    | FetchPodEvent
    | WriteState
    | EnsureNamespace
    | CreateRun
    | Announce
    | DeleteRun
)
"""About the run as a whole: executed one after the other, before anything else."""
ItemAction: TypeAlias = CreateTask | PatchTask | CreatePod | DeletePod
"""About one pod or AppTask: independent of one another, so they are executed concurrently."""
InspectionAction: TypeAlias = EnsureNamespace | DeleteTask | ItemAction
"""About the inspection of an App."""
AppAction: TypeAlias = ApplyHandler | RemoveHandler | PatchApp | InspectionAction
"""About an App: executed one after the other."""


@dataclass(frozen=True, slots=True)
class PodDemand:
    """How many task pods the run has once the plan is executed, and would have if other runs had
    none."""

    occupied: int = 0
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now for a run, and when to plan it again although nothing has happened."""

    first: Sequence[RunAction] = ()
    then: Sequence[ItemAction] = ()
    wake_at: float | None = None
    demand: PodDemand | None = field(default=None, compare=False)
    """None leaves the demand as it was."""
    offers: Sequence[Offer] = ()
    """Calls that may start in warm pods, wherever there is room."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", tuple(self.first))
        object.__setattr__(self, "then", tuple(self.then))
        object.__setattr__(self, "offers", tuple(self.offers))


@dataclass(frozen=True, slots=True)
class AppPlan:
    """What to do now for an App, and when to plan it again although nothing has happened."""

    actions: Sequence[AppAction] = ()
    wake_at: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))


def target(action: ItemAction) -> str:
    """The name of the pod or AppTask that a request is about."""
    match action:
        case CreateTask() | PatchTask():
            return action.task.name
        case CreatePod() | DeletePod():
            return action.pod.name
