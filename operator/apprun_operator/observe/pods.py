"""Records of pods, and of what the API server and kubelet say about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from application_sdk.wire.containers import STARTING, Blocker
from apprun_operator.observe.records import Meta


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod of an AppTask, reduced to what plans depend on. `gone`: it vanished before its attempt
    was decided.

    Image, waiting, exit and running are those of the call's own container, whatever else runs in
    the pod.
    """

    meta: Meta
    run: str
    task: str
    """Name of the AppTask that owns it."""
    attempt: int
    image: str = ""
    asked_image: str = ""
    """The image that the operator asked for. Another one is in the container where a webhook
    rewrites images."""
    image_id: str = ""
    """The image that its node has really started, as the kubelet names it."""
    phase: str = "Pending"
    node: str = ""
    reason: str = ""
    message: str = ""
    deletion_at: float | None = None
    """When the grace period of its deletion ends; None while it isn't being deleted."""
    disruption: str = ""
    """Reason of its `DisruptionTarget` condition."""
    disruption_message: str = ""
    unschedulable: str = ""
    """The scheduler's message, while it can't place the pod."""
    gates: str = ""
    """Names of the scheduling gates that hold it back from the scheduler."""
    queue: str = ""
    """The queue of Kueue that admits it."""
    queue_eviction: str = ""
    """Kueue's words, once it has ended the pod."""
    scheduled_at: float = 0.0
    """When it was bound to its node."""
    ungated_at: float = 0.0
    """When the operator saw its last scheduling gate removed."""
    blocker: Blocker | None = None
    """The init container that keeps the call's container from starting."""
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    running_since: float | None = None
    seen_at: float = 0.0
    """When the operator first saw it: more precise than the creation time, which is cut to seconds."""
    gone: bool = False
    mounts: bool = False
    """It has volumes whose mount may fail, which kubelet reports in Events only."""

    healthy: bool = field(init=False, compare=False)
    """It starts or runs and isn't being ended: a plan need not look closer before it changes."""

    def __post_init__(self) -> None:
        starts = self.starting and not self.mounts
        ending = self.ended or self.deletion_at is not None or bool(self.disruption)
        object.__setattr__(self, "healthy", (starts or self.running) and not ending)

    @property
    def running(self) -> bool:
        """The call's container is at work.

        The pod may well be Pending then, since another container's image is missing.
        """
        at_work = self.running_since is not None or self.phase == "Running"
        return at_work and self.exit_code is None

    @property
    def starting(self) -> bool:
        """It is pending, and neither scheduler nor kubelet has reported a problem."""
        held = self.unschedulable or self.gates or self.blocker is not None
        return self.phase == "Pending" and not self.running and not held and self.waiting_reason in STARTING

    @property
    def unplaced(self) -> bool:
        """It is pending and has no node, and the scheduler has seen it or soon will."""
        # guard: gated-pods-not-unplaced - the pods in one queue would keep all others of the run back
        outside = not self.node and not self.gates
        return outside and self.phase == "Pending" and not self.running and not self.ended

    @property
    def ended(self) -> bool:
        """The call's container has ended. A sidecar may keep the pod Running all the same."""
        # guard: own-container-ended - a sidecar that keeps running would hide the end of the
        # attempt
        return self.gone or self.phase in ("Succeeded", "Failed") or self.exit_code is not None

    @property
    def pending_since(self) -> float:
        """Since when it could have started: time behind scheduling gates doesn't count."""
        return max(self.meta.created, self.ungated_at, self.scheduled_at)


RejectionKind: TypeAlias = Literal[
    "Quota", "Forbidden", "Invalid", "NoAccount", "NotAllowed", "NameTaken", "Terminating", "Webhook"
]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A pod that the API server rejected: kept in the cache for the next plans."""

    pod: str
    kind: RejectionKind
    message: str
    since: float
    retry_at: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class PoolBlocked:
    """Why none of a pool's warm pods can start, as the pool's last plan found out."""

    reason: str
    message: str
    since: float
    permanent: bool = False
    """Waiting is unlikely to help."""


@dataclass(frozen=True, slots=True)
class PodEvent:
    """What kubelet's Events last said of a pod that doesn't start.

    A plan asks for it, the cache keeps it.
    """

    message: str
    """Empty if they said nothing."""
    read_at: float
