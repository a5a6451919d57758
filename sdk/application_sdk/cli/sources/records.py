"""A run, its calls and their attempts, the same for every source. Frozen; times are in seconds since the epoch.

`sources.local` and `cluster.parse` create them and the views print them, so local and cluster runs look alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from application_sdk.wire.call_state import CallState
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import ErrorFields, ProgressFields, Role

Phase: TypeAlias = Literal[
    "Pending",
    "Running",
    "Interrupted",
    "Suspended",
    "Stalled",
    "Cancelling",
    "Succeeded",
    "Failed",
    "Cancelled",
]
"""Those of an AppRun, and `Interrupted`: a run of this machine that no process executes."""
State: TypeAlias = CallState

TERMINAL_PHASES: frozenset[Phase] = frozenset({"Succeeded", "Failed", "Cancelled"})
TERMINAL_STATES: frozenset[State] = frozenset({"Succeeded", "Failed", "Cancelled"})

POOL_AT_MAXIMUM: Final = "the pool is at its maximum"
"""The message of a call begins so if it waits for a larger pool, or for the end of another call."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a call. `reason` is None while it runs."""

    number: int
    reason: str | None = None
    budget: str | None = None
    message: str = ""
    exit_code: int | None = None
    node: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    log: str = ""
    """The end of its log, if the source keeps it."""
    environment: str = "the cluster"
    """What a disruption is charged to in messages."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the route."""

    key: str
    task: str
    role: Role
    state: State
    input: JSONObject
    line: str = ""
    position: int = 0
    """Index in the order in which the route made its calls."""
    sequence: int | None = None
    """Index in the ledger; None while it isn't committed."""
    output: JSON = None
    error: ErrorFields | None = None
    message: str = ""
    """What it waits for."""
    called_at: float | None = None
    started_at: float | None = None
    """Begin of the current attempt."""
    committed_at: float | None = None
    due_at: float | None = None
    """When a timer fires, or the next attempt may begin."""
    attempt: int = 0
    """Number of the current or last attempt; 0 before the first."""
    node: str = ""
    pod: str = ""
    """The warm pod of the current or last attempt; empty for a call with a pod of its own."""
    max_pods: int = 0
    """How many pods the task's pool may have; 0 for a call with a pod of its own."""
    progress: ProgressFields | None = None
    attempts: tuple[Attempt, ...] = ()
    has_reported: bool = False
    """Whether the process of the current attempt has reported its start, a heartbeat or progress."""
    consumed: str = ""
    """What calls that follow this one have as their lineage."""
    lineage: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run without its calls."""

    name: str
    phase: Phase
    app: str
    entry: str
    created_at: float
    entrypoint: str = ""
    input: JSONObject | None = None
    output: JSON = None
    error: ErrorFields | None = None
    reason: str = ""
    """The reason of the phase, in one word."""
    message: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    correlation_id: str = ""
    continued_from: str | None = None
    continued_as: str | None = None
    directory: str = ""
    """The folder of the app's code, for a run of this machine."""
    namespace: str = ""
    context: str = ""
    calls: int | None = None
    done: int | None = None
    failed: int | None = None

    @property
    def finished(self) -> bool:
        return self.phase in TERMINAL_PHASES


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of warm pods, as the status of its App describes it: the numbers are some seconds old."""

    name: str
    tasks: tuple[str, ...] = ()
    size: int = 0
    busy: int = 0
    idle: int = 0
    draining: int = 0
    renewed: int = 0

    @property
    def starting(self) -> int:
        """How many pods don't run yet."""
        return max(self.size - self.busy - self.idle - self.draining, 0)


@dataclass(frozen=True, slots=True)
class DeployedApp:
    """An App of a cluster."""

    name: str
    entry: str
    image: str = ""
    is_ready: bool | None = None
    """None while no operator has said it."""
    reason: str = ""
    message: str = ""
    pools: tuple[Pool, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run with its calls, in the order in which they were made, and its driver where that is a call as well."""

    run: Run
    calls: tuple[Call, ...]
    driver: Call | None = None
    cancelled_at: float | None = None
    pools: tuple[Pool, ...] = ()
    """Pools of warm pods that execute its open calls, where its App has them."""

    def __post_init__(self) -> None:
        if self.run.finished:
            object.__setattr__(self, "calls", tuple(map(_given_up, self.calls)))


def _given_up(call: Call) -> Call:
    """A timer that the route had left, such as one of `asyncio.timeout`, never fires once its run is over."""
    return replace(call, state="Cancelled", due_at=None) if call.state == "Sleeping" else call
