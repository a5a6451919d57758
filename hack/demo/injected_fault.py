"""Which node to break and when, what was lost with it, when that was noticed. Pure: `catalog` does the breaking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hack.demo.snapshot import Checkpoint, Pod, Snapshot, Task

MIN_COMMITTED = 5
"""So many checkpoints must be there first: the claim is about them."""
MIN_TASKS = 3
"""So many tasks must have begun to work, not long ago, on the node beside the driver."""
FRESH_SECONDS = 3.0
"""Not long ago: what is about to end when the node is chosen will have ended before it is dead."""
PATIENCE = 12
"""With so many checkpoints, one task at work is enough, however old: a run that is over can't be broken."""


@dataclass(frozen=True)
class Loss:
    """One task call, or the driver, whose attempt was on the broken node before it had a result."""

    task: str
    key: str
    role: str
    attempt: int
    label: str


@dataclass(frozen=True)
class InjectedFault:
    """What was broken and what came of it. Times are seconds since the epoch; None: not seen yet."""

    kind: Literal["node", "pods"]
    node: str
    at: float
    before: tuple[Checkpoint, ...]
    """The ledger as it was found when the deed was done."""
    losses: tuple[Loss, ...] = ()
    noticed_by_kubernetes: float | None = None
    noticed_by_apprun: float | None = None
    running_again: float | None = None
    """When every loss had a pod running elsewhere, or a result."""
    power_on: float | None = None
    node_back: float | None = None

    @property
    def lost_tasks(self) -> tuple[Loss, ...]:
        return tuple(loss for loss in self.losses if loss.role == "task")

    @property
    def lost_driver(self) -> Loss | None:
        return next((loss for loss in self.losses if loss.role == "driver"), None)


def target(snapshot: Snapshot, running_since: Mapping[str, float]) -> str | None:
    """The node to break now: the one with the driver, once enough is committed and enough tasks have begun there.

    `running_since` says when each pod was first seen to run, in seconds since the epoch.
    """
    if len(snapshot.ledger) < MIN_COMMITTED or snapshot.driver is None:
        return None
    driver = snapshot.pod_of(snapshot.driver)
    if driver is None or driver.phase != "Running":
        return None
    running_times = [snapshot.at - running_since[pod.name] for pod in working_pods(snapshot) if pod.node == driver.node]
    fresh = sum(1 for age in running_times if age <= FRESH_SECONDS)
    late = len(snapshot.ledger) >= PATIENCE
    return driver.node if fresh >= MIN_TASKS or (late and running_times) else None


def working_pods(snapshot: Snapshot) -> list[Pod]:
    """Pods that run a task whose result isn't in yet."""
    return [
        pod
        for call in snapshot.calls
        if not call.over and (pod := snapshot.pod_of(call)) is not None and pod.phase == "Running"
    ]


def add_losses(fault: InjectedFault, snapshot: Snapshot) -> InjectedFault:
    """With the attempts that this snapshot shows on the broken node without a result.

    Asked again and again while the node is gone: until Kubernetes has noticed, it may give that node new pods.
    """
    lost = {loss.task for loss in fault.losses}
    new = [
        Loss(task.name, task.key, task.role, task.attempt, task.label)
        for task in snapshot.tasks
        if task.name not in lost
        and not task.over
        and (pod := snapshot.pod_of(task)) is not None
        and pod.node == fault.node
    ]
    return replace(fault, losses=(*fault.losses, *sorted(new, key=lambda loss: loss.task)))


def note_times(fault: InjectedFault, snapshot: Snapshot) -> InjectedFault:
    """With the times of what this snapshot shows for the first time."""
    now = snapshot.at
    if fault.kind == "node":
        if fault.noticed_by_kubernetes is None and not snapshot.is_ready(fault.node):
            fault = replace(fault, noticed_by_kubernetes=now)
        if fault.node_back is None and fault.power_on is not None and snapshot.is_ready(fault.node):
            fault = replace(fault, node_back=now)
    if fault.noticed_by_apprun is None and any(_again(loss, snapshot) for loss in fault.losses):
        fault = replace(fault, noticed_by_apprun=now)
    if fault.running_again is None and fault.losses and all(_going(loss, snapshot) for loss in fault.losses):
        fault = replace(fault, running_again=now)
    return fault


def _again(loss: Loss, snapshot: Snapshot) -> bool:
    task = snapshot.by_name.get(loss.task)
    return task is not None and task.attempt > loss.attempt


def _going(loss: Loss, snapshot: Snapshot) -> bool:
    task: Task | None = snapshot.by_name.get(loss.task)
    if task is None:
        return False
    pod = snapshot.pod_of(task)
    return task.over or (task.attempt > loss.attempt and pod is not None and pod.phase == "Running")
