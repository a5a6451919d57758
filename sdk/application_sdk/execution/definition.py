"""What an app is made of, as frozen data: its tasks with their types and policies, its entry points.

`app` makes these when a class is defined; the route runtime, the attempts and the engines read them. Nothing here
looks at a class or runs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from application_sdk.errors import AppNotFoundError
from application_sdk.execution.retry import DEFAULT_RETRY, RetryPolicy
from application_sdk.wire.fields import MAX_PAYLOAD_BYTES, Policy, ReuseFields, RunsIn

if TYPE_CHECKING:
    from application_sdk.contracts.base import Input, Output
    from application_sdk.wire.pod_fields import PodFields

Watchdog: TypeAlias = Literal["off", "warn", "enforce"]
GateMode: TypeAlias = Literal["off", "soft", "hard"]

OUR_TASKS: Final = "apprun."
"""How the names of tasks begin that apps have without declaring them."""
PREFLIGHT: Final = "apprun.preflight"
DAY_SECONDS: Final = 24 * 60 * 60


def _no_pod_fields() -> PodFields:
    # Not the type itself, whose module no pod needs.
    return {}


@dataclass(frozen=True)
class TaskSettings:
    """The keywords of `@task` and `.options()`: how a call is to be executed. Times in seconds, None means no limit."""

    timeout_seconds: float | None = DAY_SECONDS
    """Of one attempt. The default is a backstop, not a budget."""
    heartbeat_timeout_seconds: float | None = 60
    """An attempt that sends no heartbeat for so long is ended and counts as failed."""
    auto_heartbeat_seconds: float | None = 10
    """How often a heartbeat is sent without the task's doing, as long as its event loop turns."""
    schedule_to_close_seconds: float | None = None
    """Of all attempts together, with the waits between them."""
    max_no_progress_seconds: float | None = 900
    """How long an attempt may make no progress before the stall watchdog speaks up."""
    progress_watchdog: Watchdog = "warn"
    retry: RetryPolicy = field(default=DEFAULT_RETRY)
    pod: PodFields = field(default_factory=_no_pod_fields)
    limit: int | None = None
    """How many calls of the task a run has at once."""
    rate: str | None = None
    """How many calls of the task a run makes in a time, such as `10/s`."""
    runs_in: RunsIn = "pod"
    """In a pod of its own, or in a process beside the route: a driver task."""
    reuse: ReuseFields | None = None
    """The pool of warm pods that its calls are executed in; None for a pod of its own for each attempt."""

    def to_policy(self) -> Policy:
        """The policy as it travels in a call."""
        policy = Policy(retry=self.retry.to_fields())
        if self.timeout_seconds is not None:
            policy["timeoutSeconds"] = self.timeout_seconds
        if self.heartbeat_timeout_seconds is not None:
            policy["heartbeatTimeoutSeconds"] = self.heartbeat_timeout_seconds
        if self.auto_heartbeat_seconds is not None:
            policy["autoHeartbeatSeconds"] = self.auto_heartbeat_seconds
        if self.schedule_to_close_seconds is not None:
            policy["scheduleToCloseSeconds"] = self.schedule_to_close_seconds
        if self.max_no_progress_seconds is not None and self.progress_watchdog != "off":
            policy["maxNoProgressSeconds"] = self.max_no_progress_seconds
            policy["progressWatchdog"] = self.progress_watchdog
        return policy


@dataclass(frozen=True)
class TaskDefinition:
    """One task of an app."""

    name: str
    input_type: type[Input]
    output_type: type[Output]
    function: Callable[..., object]
    """The undecorated method: takes the app instance and the input."""
    is_async: bool
    """Whether `function` is `async def`. If not, it runs in a thread."""
    settings: TaskSettings
    line: str
    """`file:line` of the method."""
    description: str = ""
    envelope_bytes: int = 0
    """How much larger its input may be than inputs of this app are, since it holds another one."""
    policy: Policy = field(init=False)
    """The settings as they travel in a call."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", self.settings.to_policy())


@dataclass(frozen=True)
class EntrypointDefinition:
    """One route of an app."""

    name: str
    method: str
    """Name of the method; `run` for the implicit entry point."""
    input_type: type[Input]
    output_type: type[Output]
    function: Callable[..., object]
    line: str
    description: str = ""


@dataclass(frozen=True)
class GateSettings:
    """Whether a run begins with the handler's preflight check, and what its verdict means (`replay.preflight`)."""

    check: Callable[..., object] | None = None
    """Asks the handler: takes the app instance and a `GateInput`, returns a coroutine of a `Verdict`."""
    mode: GateMode = "off"
    modes: Mapping[str, GateMode] = field(default_factory=dict)
    """Those of entry points that have one of their own."""
    timeout_seconds: float = 150
    max_attempts: int = 2

    def mode_of(self, entrypoint: str) -> GateMode:
        """The mode of an entry point."""
        return self.modes.get(entrypoint, self.mode)


@dataclass(frozen=True)
class AppDefinition:
    """A whole app. `app_class.definition` holds it."""

    name: str
    version: str
    entry: str
    """`module:Class`."""
    line: str
    tasks: Mapping[str, TaskDefinition]
    entrypoints: Mapping[str, EntrypointDefinition]
    default_entrypoint: str
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    """Limit of each input and output that the app has set for itself, in bytes of its JSON."""
    gate: GateSettings = field(default_factory=GateSettings)
    builtin_task: Callable[[str, GateSettings], TaskDefinition] | None = None
    """Finds the tasks that every app has without declaring them, whose code is in the layers above this one."""

    def task(self, name: str) -> TaskDefinition:
        """The task of that name. Raises AppNotFoundError, which lists the names there are."""
        if name.startswith(OUR_TASKS) and self.builtin_task is not None:
            return self.builtin_task(name, self.gate)
        task = self.tasks.get(name)
        if task is None:
            raise AppNotFoundError(
                f"{self.entry} has no task {name!r}; it has {_names(self.tasks)}. Was it renamed while a run used it?"
            )
        return task

    def entrypoint(self, name: str | None) -> EntrypointDefinition:
        """The entry point of that name, for None the default one. Raises AppNotFoundError, which lists the names."""
        entrypoint = self.entrypoints.get(self.default_entrypoint if name is None else name)
        if entrypoint is None:
            raise AppNotFoundError(f"{self.entry} has no entry point {name!r}; it has {_names(self.entrypoints)}")
        return entrypoint


def _names(things: Mapping[str, object]) -> str:
    return ", ".join(sorted(things)) or "none"


@dataclass(frozen=True)
class RunInfo:
    """What a route is told of its run. The same in every execution of the route."""

    run_id: str
    uid: str
    """Distinguishes this run from every other of that name: the seed of the route's random numbers."""
    started_at: float
    """When the run began, in seconds since the epoch: where the route's clock starts."""
    correlation_id: str = ""
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    """Limit of an input or output, in bytes of its JSON."""
    replay_rules: int | None = None
    """Version of the replay rules that the run began with; None means this SDK's."""
    own_disk: bool = False
    """Whether its input may name files of this machine's disk: on a laptop and in tests, where its user wrote it."""
