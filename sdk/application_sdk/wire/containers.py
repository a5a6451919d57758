"""The containers of a pod as kubelet shows them: which one executes the call, and which one keeps
it from starting.

Admission webhooks add containers of their own before and beside ours (a mesh's proxy, an agent with
secrets), and kubelet sorts statuses by name. So operator and command line find a container by its
name, never by its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from application_sdk.wire import names
from application_sdk.wire.logs import plain

STARTING: Final = ("", "ContainerCreating", "PodInitializing")
"""What kubelet says of a container that isn't there yet while all goes well."""
IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""Why a container waits whose image isn't on the node."""
INIT_CONTAINER_FAILED: Final = "InitContainerFailed"
"""An init container or a native sidecar keeps the call's container from starting."""
SCHEDULING_GATED: Final = "SchedulingGated"
"""Somebody's scheduling gates hold the pod back, as a queue of batch jobs does."""

# Pods come from the API server, and what webhooks made of them isn't known to any type of ours.
Raw = Mapping[str, Any]


def container_of(pod: Raw) -> str:
    """The name of the container that executes the pod's call, by the role in the pod's labels."""
    labels = _part(pod, "metadata").get("labels") or {}
    return names.container_name(str(labels.get(names.ROLE_LABEL) or "task"))


def declared(pod: Raw, name: str) -> Raw:
    """The container of that name as the pod's spec has it; empty when there is none."""
    return next((entry for entry in _part(pod, "spec").get("containers") or [] if entry.get("name") == name), {})


def status_of(pod: Raw, name: str) -> Raw:
    """What kubelet says of the container of that name; empty while it says nothing."""
    statuses = _part(pod, "status").get("containerStatuses") or []
    # guard: container-by-name - sidecars that a webhook injects may stand first
    return next((status for status in statuses if status.get("name") == name), {})


def gates(pod: Raw) -> str:
    """The names of the scheduling gates that hold the pod back, in one text; empty once it may be
    scheduled."""
    conditions = _part(pod, "status").get("conditions") or []
    condition: Raw = next((c for c in conditions if c.get("type") == "PodScheduled"), {})
    if condition.get("status") == "True" or condition.get("reason") != SCHEDULING_GATED:
        return ""
    listed = [str(gate.get("name")) for gate in _part(pod, "spec").get("schedulingGates") or []]
    return ", ".join(listed) or str(condition.get("message") or "unnamed")


@dataclass(frozen=True, slots=True)
class Blocker:
    """An init container or native sidecar in trouble, while the call's container waits for it."""

    name: str
    sidecar: bool
    """A native one: an init container that goes on beside the containers (`restartPolicy:
    Always`)."""
    image: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    """Of its latest end."""
    exit_reason: str = ""
    exit_message: str = ""

    @property
    def words(self) -> str:
        """What is the matter, in one sentence without its end."""
        who = f"{'native sidecar' if self.sidecar else 'init container'} {self.name!r}"
        if self.waiting_reason in IMAGE_REASONS:
            details = self.waiting_message or "no details"
            return f"the image {self.image!r} of {who} can't be pulled ({self.waiting_reason}): {details}"
        if self.exit_code is None:
            details = self.waiting_message or "no details"
            return f"{who} can't start ({self.waiting_reason}): {details}"
        reason = "" if self.exit_reason in ("", "Error", "Completed") else f" ({self.exit_reason})"
        last = self.exit_message.strip().rpartition("\n")[2].strip()
        return f"{who} ended with exit code {self.exit_code}{reason}" + (f": {last}" if last else "")


def blocker(pod: Raw) -> Blocker | None:
    """The init container that keeps the others from starting because something is wrong with it.
    None while all goes well, and once the call's container has begun: what happens to a sidecar
    then is nothing to the call."""
    own = _part(status_of(pod, container_of(pod)), "state")
    if "running" in own or "terminated" in own:
        return None
    specs = {entry.get("name"): entry for entry in _part(pod, "spec").get("initContainers") or []}
    for status in _statuses(pod):
        spec = specs.get(status.get("name")) or {}
        sidecar = spec.get("restartPolicy") == "Always"
        ended = _part(_part(status, "state"), "terminated")
        if status.get("started") if sidecar else ended.get("exitCode") == 0:
            continue
        return _trouble(status, str(spec.get("image") or status.get("image") or ""), sidecar=sidecar)
    return None


def _trouble(status: Raw, image: str, *, sidecar: bool) -> Blocker | None:
    """The container whose turn it is, unless it runs or is on its way."""
    waiting = _part(_part(status, "state"), "waiting")
    ended = _part(_part(status, "state"), "terminated") or _part(_part(status, "lastState"), "terminated")
    reason = str(waiting.get("reason") or "")
    if "running" in _part(status, "state") or (reason in STARTING and not ended):
        return None
    return Blocker(
        str(status.get("name")),
        sidecar,
        image,
        reason,
        str(waiting.get("message") or ""),
        ended.get("exitCode"),
        str(ended.get("reason") or ""),
        plain(str(ended.get("message") or "")),
    )


def _statuses(pod: Raw) -> Iterator[Raw]:
    """Those of the init containers, in the order in which they start."""
    statuses = {status.get("name"): status for status in _part(pod, "status").get("initContainerStatuses") or []}
    order = [entry.get("name") for entry in _part(pod, "spec").get("initContainers") or []]
    for name in [*order, *(name for name in statuses if name not in order)]:
        if name in statuses:
            yield statuses[name]


def _part(thing: Raw, name: str) -> Raw:
    part = thing.get(name)
    return part if isinstance(part, dict) else {}
