"""What a plan may ask for: frozen values, one API call each. The executor carries them out, tests compare them.

Every write to an object that others write too carries its `version`: what has changed since is planned anew. No two
objects ever have the same, so it tells namesakes apart too; a uid in a write of a status counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.records import Key


@dataclass(frozen=True, slots=True)
class PatchRun:
    """Merge `status` into the run's. Commits, conditions and ends are all this.

    With `exact`, each field is set as it is: merging would drop the nulls inside an output.
    """

    run: Key
    version: int
    status: JSONObject
    commits: int = 0
    """How many completions it commits: for metrics."""
    exact: bool = False


@dataclass(frozen=True, slots=True)
class MarkRun:
    """Annotate the run with the uid under which it is about to begin. A refusal is kept as a fact about it."""

    run: Key
    version: int
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePage:
    """Keep older checkpoints in an immutable object, before the status lets go of them."""

    page: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class FetchPage:
    """Read a page that the run counts and that isn't known: until then nothing may be committed."""

    run: Key
    number: int


@dataclass(frozen=True, slots=True)
class FetchTask:
    """Read an AppTask whose completion is committed and that isn't known: to tell a late event from a loss."""

    run: Key
    name: str


@dataclass(frozen=True, slots=True)
class FetchWords:
    """Read what kubelet says, in Events, of a pod that doesn't start."""

    run: Key
    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class WriteState:
    """Keep what tasks have saved, before they count as succeeded. Without a `uid` the object is to be created."""

    state: Key
    uid: str
    version: int
    body: JSONObject


@dataclass(frozen=True, slots=True)
class EnsureNamespace:
    """Make sure of the service accounts and role bindings that pods in the run's namespace need, `pod` the first."""

    run: Key
    pod: str


@dataclass(frozen=True, slots=True)
class CreateTask:
    """Create the driver's AppTask."""

    task: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class PatchTask:
    """Set these fields of an AppTask's status: a next attempt, an end, what it waits for. None removes one; none is
    merged with what is there, so nothing of an earlier attempt's error is left in a later one's."""

    task: Key
    version: int
    status: JSONObject


@dataclass(frozen=True, slots=True)
class CreatePod:
    pod: Key
    task_uid: str
    body: JSONObject


@dataclass(frozen=True, slots=True)
class DeletePod:
    pod: Key
    uid: str


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create the run that `run` continues as. A refusal is kept as a fact about `run`."""

    run: Key
    successor: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class Announce:
    """Create this Event, or count one more of it. Whether that works is nobody's concern."""

    event: Key
    body: JSONObject


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Its time is over: the run goes, and all that it owns with it."""

    run: Key
    uid: str


RunAction: TypeAlias = (
    PatchRun
    | MarkRun
    | CreatePage
    | FetchPage
    | FetchTask
    | FetchWords
    | WriteState
    | EnsureNamespace
    | CreateRun
    | Announce
    | DeleteRun
)
"""About the run as a whole: carried out one after the other, before anything else."""
ItemAction: TypeAlias = CreateTask | PatchTask | CreatePod | DeletePod
"""About one pod or AppTask: independent of one another, so carried out side by side."""


@dataclass(frozen=True, slots=True)
class PodDemand:
    """How many task pods the run will have when the plan is carried out, and would have if other runs had none."""

    occupied: int = 0
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to look again though nothing happens."""

    first: Sequence[RunAction] = ()
    then: Sequence[ItemAction] = ()
    wake_at: float | None = None
    claim: PodDemand | None = field(default=None, compare=False)
    """None leaves it as it was."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", tuple(self.first))
        object.__setattr__(self, "then", tuple(self.then))


def target(action: ItemAction) -> str:
    """Name of the pod or AppTask that a request is about."""
    if isinstance(action, CreateTask | PatchTask):
        return action.task.name
    return action.pod.name
