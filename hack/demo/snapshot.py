"""What the demo knows of a run at one moment: small frozen records. Made by `observe`, read by everything else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from hack.restarts import OperatorPod

JSON: TypeAlias = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"

ENDS = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(frozen=True)
class Checkpoint:
    """One entry of the ledger."""

    sequence: int
    key: str
    task: str
    outcome: str
    attempts: int
    digest: str


@dataclass(frozen=True)
class EndedAttempt:
    """One attempt that ended without a result, as the operator wrote it down."""

    attempt: int
    reason: str
    budget: str


@dataclass(frozen=True)
class Task:
    """One AppTask. `subject` is what its input is about, for people."""

    name: str
    key: str
    task: str
    role: str
    sequence: int
    subject: str
    phase: str
    attempt: int
    ended: tuple[EndedAttempt, ...] = ()

    @property
    def over(self) -> bool:
        return self.phase in ENDS

    @property
    def label(self) -> str:
        return f"{self.task} {self.subject}".strip()


@dataclass(frozen=True)
class Pod:
    """One pod of the run. `node` is empty until it is scheduled."""

    name: str
    task: str
    """Name of its AppTask."""
    role: str
    attempt: int
    node: str
    phase: str
    leaving: bool
    """Marked for deletion."""


@dataclass(frozen=True)
class Node:
    name: str
    ready: bool


@dataclass(frozen=True)
class Witness:
    """One ConfigMap that a task left as its last act: its body ran to the end once."""

    key: str
    attempt: int
    pod: str
    node: str


@dataclass(frozen=True)
class Snapshot:
    """All of it, at `at` seconds since the epoch."""

    at: float
    phase: str
    message: str = ""
    ledger: tuple[Checkpoint, ...] = ()
    tasks: tuple[Task, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    operators: tuple[OperatorPod, ...] = ()
    output: JSON = None

    @property
    def over(self) -> bool:
        return self.phase in ENDS

    @cached_property
    def by_name(self) -> dict[str, Task]:
        return {task.name: task for task in self.tasks}

    @cached_property
    def calls(self) -> tuple[Task, ...]:
        """The task calls without the driver, in the order in which the route made them."""
        return tuple(sorted((t for t in self.tasks if t.role == "task"), key=lambda t: (t.sequence, t.name)))

    @property
    def driver(self) -> Task | None:
        return next((task for task in self.tasks if task.role == "driver"), None)

    @cached_property
    def committed(self) -> dict[str, Checkpoint]:
        return {entry.key: entry for entry in self.ledger}

    @cached_property
    def current_pods(self) -> dict[str, Pod]:
        """The pod of each task's current attempt, by the task's name."""
        return {
            pod.task: pod
            for pod in self.pods
            if (task := self.by_name.get(pod.task)) is not None and task.attempt == pod.attempt
        }

    def pod_of(self, task: Task) -> Pod | None:
        return self.current_pods.get(task.name)

    def is_ready(self, node: str) -> bool:
        return any(each.name == node and each.ready for each in self.nodes)
