"""The live picture of a run: nodes, ledger, tasks, and what happened last. Pure: records in, something to draw out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hack.demo.injected_fault import InjectedFault
from hack.demo.snapshot import Snapshot, Task
from hack.demo.timeline import Entry, clock
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

COLOURS = {"plain": "", "good": "green", "bad": "bold red", "dim": "dim"}
WIDE = 110
TIMELINE_LINES = 8
OTHER_LINES = TIMELINE_LINES + 7
"""Lines of the picture that are neither nodes nor tasks."""
CELLS = 6
"""Of one task: mark, name, state, node, attempt, gap."""
COMMON_SUFFIX = ".k8s.io"
"""Most API groups end in it. It is left out, for want of room."""


@dataclass(frozen=True)
class Screen:
    """How much there is to draw on, in characters."""

    width: int
    height: int

    @property
    def columns(self) -> int:
        return 2 if self.width >= WIDE else 1


def dashboard(
    title: str,
    snapshot: Snapshot,
    fault: InjectedFault | None,
    timeline: Sequence[Entry],
    started: float,
    screen: Screen,
) -> RenderableType:
    """Everything on one screen. `started` is when the run was applied, in seconds since the epoch."""
    seconds = snapshot.at - started
    head = Text.assemble((title, "bold"), "  ", (snapshot.phase, _phase_colour(snapshot.phase)), f"  {seconds:.0f} s")
    parts: list[RenderableType] = [head, Text(), _nodes(snapshot, fault), _ledger(snapshot), Text()]
    parts += [_tasks(snapshot, fault, screen), Text(), _timeline(timeline)]
    return Panel(Group(*parts), border_style="blue", padding=(0, 1))


def _phase_colour(phase: str) -> str:
    return {"Succeeded": "bold green", "Running": "yellow", "Pending": "dim"}.get(phase, "bold red")


def _nodes(snapshot: Snapshot, fault: InjectedFault | None) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    at_work = Counter(pod.node for pod in snapshot.pods if pod.phase == "Running" and not pod.leaving)
    driver = snapshot.pod_of(snapshot.driver) if snapshot.driver else None
    for node in snapshot.nodes:
        state, colour = ("Ready", "green") if node.ready else ("NotReady", "bold red")
        dead = fault is not None and fault.kind == "node" and fault.node == node.name and fault.power_on is None
        if dead and fault is not None:
            state, colour = f"killed {clock(fault.at)}" + ("" if node.ready else ", NotReady"), "bold red"
        pods = 0 if dead else at_work[node.name]
        role = "driver" if driver is not None and driver.node == node.name and not dead else ""
        table.add_row(
            Text(node.name, "bold"), Text(f"● {state}", colour), Text("▪" * pods, "cyan"), Text(role, "magenta")
        )
    return table


def _ledger(snapshot: Snapshot) -> RenderableType:
    done, called = len(snapshot.ledger), max(len(snapshot.calls), len(snapshot.ledger), 1)
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=called, completed=done, width=40, complete_style="green", finished_style="green")
    table.add_row("ledger", bar, f"{done} of {called} calls committed, {len(snapshot.witnesses)} witnesses")
    return table


def _tasks(snapshot: Snapshot, fault: InjectedFault | None, screen: Screen) -> RenderableType:
    """All tasks where there is room for them, else those that aren't committed yet."""
    visible = snapshot.calls
    room = screen.columns * (screen.height - OTHER_LINES - len(snapshot.nodes))
    if len(visible) > room:
        visible = tuple(task for task in visible if task.key not in snapshot.committed)
    table = Table.grid(padding=(0, 1))
    for _ in range(screen.columns):
        for _ in range(CELLS):
            table.add_column(no_wrap=True, overflow="ellipsis")
    cells = [_cells(task, snapshot, fault) for task in visible]
    height = -(-len(cells) // screen.columns)
    for row in range(height):
        table.add_row(*(cell for place in range(row, len(cells), height) for cell in cells[place]))
    return table


def _cells(task: Task, snapshot: Snapshot, fault: InjectedFault | None) -> list[RenderableType]:
    pod = snapshot.pod_of(task)
    lost = (
        fault is not None
        and fault.power_on is None
        and pod is not None
        and pod.node == fault.node
        and fault.kind == "node"
    )
    where = pod.node if pod is not None and not task.over else ""
    entry = snapshot.committed.get(task.key)
    if entry is not None and entry.outcome == "Succeeded":
        mark, state, colour = "✓", f"checkpoint {entry.sequence + 1}", "green"
        where = next((w.node for w in snapshot.witnesses if (w.key, w.attempt) == (task.key, entry.attempts)), "")
    elif entry is not None:
        mark, state, colour = "✗", entry.outcome.lower(), "red"
    elif lost:
        mark, state, colour = "✗", "lost with its node", "bold red"
    elif task.over:
        mark, state, colour = "✓", "reported", "green"
    elif pod is not None and pod.phase == "Running":
        mark, state, colour = "▶", "working", "yellow"
    elif pod is not None:
        mark, state, colour = "…", "pod starts", "cyan"
    else:
        mark, state, colour = "·", "waits", "dim"
    again = Text(f"attempt {task.attempt}" if task.attempt > 1 else "", "magenta")
    label = task.label.removesuffix(COMMON_SUFFIX)
    return [Text(mark, colour), Text(label), Text(state, colour), Text(where, "dim"), again, Text("  ")]


def _timeline(timeline: Sequence[Entry]) -> RenderableType:
    lines = [
        Text.assemble((f"{clock(line.at)}  ", "dim"), (line.text, COLOURS[line.mood]))
        for line in timeline[-TIMELINE_LINES:]
    ]
    lines += [Text()] * (TIMELINE_LINES - len(lines))
    return Group(*lines)
