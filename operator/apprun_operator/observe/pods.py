"""What is known of pods: what each was last seen as, and what API server and kubelet said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from application_sdk.wire.containers import STARTING, Blocker
from apprun_operator.observe.records import Meta


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod of an AppTask, cut to what decides. `gone` is a pod that vanished before its attempt was answered.

    Image, waiting, exit and running are those of the call's own container, whatever else runs in the pod.
    """

    meta: Meta
    run: str
    task: str
    """Name of the AppTask that owns it."""
    attempt: int
    image: str = ""
    asked_image: str = ""
    """The image that the operator asked for. Another one is in the container where a webhook rewrites images."""
    image_id: str = ""
    """The image that its node has really started, as the kubelet names it."""
    phase: str = "Pending"
    node: str = ""
    reason: str = ""
    message: str = ""
    deletion_at: float | None = None
    """When the grace of its deletion is over; None while nobody deletes it."""
    disruption: str = ""
    """Reason of its `DisruptionTarget` condition."""
    disruption_message: str = ""
    unschedulable: str = ""
    """The scheduler's words, while it can't place the pod."""
    gates: str = ""
    """Names of the scheduling gates that hold it back from the scheduler."""
    scheduled_at: float = 0.0
    """When it was given its node."""
    ungated_at: float = 0.0
    """When the operator saw that the last of its gates was opened."""
    blocker: Blocker | None = None
    """The init container that keeps the call's container from starting."""
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    running_since: float | None = None
    seen_at: float = 0.0
    """When the operator first saw it: better than to the second, as its creation is."""
    gone: bool = False
    mounts: bool = False
    """It has volumes that the kubelet may not be able to mount, and says so in Events only."""

    healthy: bool = field(init=False, compare=False)
    """It starts or runs, and nobody wants to end it: no reason to look at it again before it changes."""

    def __post_init__(self) -> None:
        starts = self.starting and not self.mounts
        ending = self.ended or self.deletion_at is not None or bool(self.disruption)
        object.__setattr__(self, "healthy", (starts or self.running) and not ending)

    @property
    def running(self) -> bool:
        """The call's container is at work. The pod may well be Pending then, since another container's image is
        missing."""
        at_work = self.running_since is not None or self.phase == "Running"
        return at_work and self.exit_code is None

    @property
    def starting(self) -> bool:
        """Kubelet prepares it, or the scheduler has just been told, and neither has said that anything is wrong."""
        held = self.unschedulable or self.gates or self.blocker is not None
        return self.phase == "Pending" and not self.running and not held and self.waiting_reason in STARTING

    @property
    def ended(self) -> bool:
        """The attempt is over when its container is, though a sidecar may keep the pod Running."""
        # guard: own-container-ended - a sidecar that keeps running would hide the end of the attempt
        return self.gone or self.phase in ("Succeeded", "Failed") or self.exit_code is not None

    @property
    def pending_since(self) -> float:
        """Since when scheduler or kubelet could start it: a queue before them is no part of that."""
        return max(self.meta.created, self.ungated_at, self.scheduled_at)


RefusalKind: TypeAlias = Literal[
    "Quota", "Forbidden", "Invalid", "NoAccount", "NotAllowed", "NameTaken", "Terminating", "Webhook"
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to a pod that it won't create: a fact for the plan, kept by the store."""

    pod: str
    kind: RefusalKind
    message: str
    since: float
    retry_at: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class PodEvent:
    """What kubelet said last of a pod that doesn't start: asked for by a plan, kept by the store."""

    message: str
    """Empty when it said nothing."""
    read_at: float
