"""A finished run that lost a node, as the demo would have seen it: five tasks, two of them and the driver on node2."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hack.demo.injected_fault import InjectedFault, Loss
from hack.demo.snapshot import JSON, Checkpoint, EndedAttempt, Node, Pod, Snapshot, Task, Witness
from hack.demo.verdict import Evidence, verdict
from hack.restarts import Termination

KILLED_AT = 1_000.0
GROUPS = ("core", "apps", "batch")
LOST = ("apps", "batch")


def key(name: str) -> str:
    return f"key-{name}"


def checkpoint(sequence: int, name: str, attempts: int = 1) -> Checkpoint:
    return Checkpoint(sequence, key(name), "read_group", "Succeeded", attempts, f"digest-{name}")


def task(name: str, attempt: int = 1, phase: str = "Succeeded", sequence: int = 0) -> Task:
    ended = (EndedAttempt(1, "NodeLost", "Disruption"),) if attempt > 1 else ()
    return Task(f"run-{name}", key(name), "read_group", "task", sequence, name, phase, attempt, ended)


def driver(attempt: int = 1, phase: str = "Active") -> Task:
    ended = (EndedAttempt(1, "NodeLost", "Disruption"),) if attempt > 1 else ()
    return Task("run-driver", "driver", "run", "driver", -1, "", phase, attempt, ended)


def pod(
    name: str, node: str, attempt: int = 1, phase: str = "Running", role: str = "task", leaving: bool = False
) -> Pod:
    return Pod(f"run-{name}-{attempt}", f"run-{name}", role, attempt, node, phase, leaving)


def witness(name: str, attempt: int = 1, node: str = "node1") -> Witness:
    return Witness(key(name), attempt, f"run-{name}-{attempt}", node)


def output(groups: int = 3, kinds: int = 20) -> JSON:
    return {"groups": groups, "kinds": kinds, "lineage": {"edges": [{"id": "AppRun/AppTask"}]}}


BEFORE = (checkpoint(0, "list"), checkpoint(1, "core"))

WORKING = Snapshot(
    at=KILLED_AT,
    phase="Running",
    ledger=BEFORE,
    tasks=(
        driver(),
        task("list", sequence=0),
        task("core", sequence=1),
        task("apps", phase="Active", sequence=2),
        task("batch", phase="Active", sequence=3),
    ),
    pods=(pod("driver", "node2", role="driver"), pod("apps", "node2"), pod("batch", "node2")),
    nodes=(Node("node1", True), Node("node2", True)),
    witnesses=(witness("list"), witness("core", node="node2")),
)

END = Snapshot(
    at=KILLED_AT + 40,
    phase="Succeeded",
    ledger=(*BEFORE, checkpoint(2, "batch", 2), checkpoint(3, "apps", 2), checkpoint(4, "assemble")),
    tasks=(
        driver(attempt=2, phase="Succeeded"),
        task("list", sequence=0),
        task("core", sequence=1),
        task("apps", attempt=2, sequence=2),
        task("batch", attempt=2, sequence=3),
        task("assemble", sequence=4),
    ),
    nodes=(Node("node1", True), Node("node2", True)),
    witnesses=(
        witness("list"),
        witness("core", node="node2"),
        witness("apps", attempt=2),
        witness("batch", attempt=2),
        witness("assemble"),
    ),
    output=output(),
)

FAULT = InjectedFault(
    kind="node",
    node="node2",
    at=KILLED_AT,
    before=BEFORE,
    losses=(
        Loss("run-apps", key("apps"), "task", 1, "read_group apps"),
        Loss("run-batch", key("batch"), "task", 1, "read_group batch"),
        Loss("run-driver", "driver", "driver", 1, "run"),
    ),
    noticed_by_kubernetes=KILLED_AT + 4.3,
    noticed_by_apprun=KILLED_AT + 9.6,
    running_again=KILLED_AT + 11.0,
    power_on=KILLED_AT + 11.2,
    node_back=KILLED_AT + 15.0,
)


@dataclass(frozen=True)
class World:
    """Evidence to be tampered with. `failed` names the claims that don't hold then."""

    end: Snapshot = END
    fault: InjectedFault | None = FAULT
    terminations: tuple[Termination, ...] = ()

    def without_witness(self, of: Witness) -> World:
        return self._with_witnesses(tuple(each for each in self.end.witnesses if each != of))

    def with_witness(self, more: Witness) -> World:
        return self._with_witnesses((*self.end.witnesses, more))

    def with_ledger(self, *entries: Checkpoint) -> World:
        return replace(self, end=replace(self.end, ledger=entries))

    def with_tasks(self, *tasks: Task) -> World:
        return replace(self, end=replace(self.end, tasks=tasks))

    def with_output(self, found: JSON) -> World:
        return replace(self, end=replace(self.end, output=found))

    def failed(self) -> set[str]:
        claims = verdict(Evidence(self.end, self.fault, groups=3, kinds=20, terminations=self.terminations))
        return {claim.text for claim in claims if not claim.holds}

    def _with_witnesses(self, witnesses: tuple[Witness, ...]) -> World:
        return replace(self, end=replace(self.end, witnesses=witnesses))
