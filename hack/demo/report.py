"""What the demo says at its end: the tasks, what was lost and how soon that was noticed, the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hack.demo.injected_fault import InjectedFault
from hack.demo.observe import Value
from hack.demo.snapshot import Snapshot
from hack.demo.timeline import clock
from hack.demo.verdict import Claim
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Row:
    """One task call at the end of the run."""

    checkpoint: str
    task: str
    attempts: str
    nodes: str
    executed: str


def rows(end: Snapshot, fault: InjectedFault | None) -> list[Row]:
    """The tasks in the order of the ledger, with those that never got there at the end."""
    lost = {loss.key for loss in fault.lost_tasks} if fault else set()
    lines = []
    for call in sorted(
        end.calls, key=lambda call: end.committed[call.key].sequence if call.key in end.committed else 1 << 30
    ):
        entry = end.committed.get(call.key)
        witnesses = sorted((w for w in end.witnesses if w.key == call.key), key=lambda w: w.attempt)
        nodes = [witness.node for witness in witnesses]
        if call.key in lost and fault is not None:
            nodes = [f"{fault.node} ✗", *(witness.node for witness in witnesses if witness.attempt > 1)]
        lines.append(
            Row(
                checkpoint=str(entry.sequence + 1) if entry else "none",
                task=call.label,
                attempts=str(entry.attempts) if entry else str(call.attempt),
                nodes=" → ".join(node or "?" for node in nodes),
                executed=str(len(witnesses)),
            )
        )
    return lines


def losses(end: Snapshot, fault: InjectedFault) -> list[tuple[str, str]]:
    """What was lost and when each party noticed, as pairs of what and how much."""

    def after(at: float | None) -> str:
        return f"{at - fault.at:.1f} s after the fault" if at is not None else "never seen"

    what = (
        f"{fault.node}, killed at {clock(fault.at)}"
        if fault.kind == "node"
        else f"pods on {fault.node}, {clock(fault.at)}"
    )
    driver = "the driver and " if fault.lost_driver else ""
    pairs = [
        ("lost", what),
        ("at work there", f"{driver}{len(fault.lost_tasks)} tasks without a result"),
        ("committed by then", f"{len(fault.before)} of {len(end.calls)} task calls"),
    ]
    if fault.kind == "node":
        pairs.append(("Kubernetes noticed", after(fault.noticed_by_kubernetes)))
    pairs.append(("AppRun restarted them", after(fault.noticed_by_apprun)))
    pairs.append(("all of it at work again", after(fault.running_again)))
    if fault.node_back is not None and fault.power_on is not None:
        pairs.append(("node switched on again", f"Ready after {fault.node_back - fault.power_on:.1f} s"))
    return pairs


def output_lines(output: Value) -> list[str]:
    """The catalog's summary for people."""
    deepest = " → ".join(step.text for step in output["lineage"]["deepest"].items)
    largest = ", ".join(f"{each['objects'].number()} {each['id'].text}" for each in output["largest"].items)
    return [
        f"{output['groups'].number()} API groups, {output['kinds'].number()} kinds, "
        f"{output['objects'].number()} objects, "
        f"{output['fields'].number()} fields ({output['described_percent'].number()} % described)",
        f"most objects: {largest}",
        f"deepest ownership: {deepest}",
    ]


def page(end: Snapshot, fault: InjectedFault | None, claims: Sequence[Claim], seconds: float) -> RenderableType:
    """All of it, to be printed once."""
    table = Table(
        title="What ran", title_justify="left", title_style="bold", header_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for name in ("checkpoint", "task", "attempts", "nodes"):
        table.add_column(name, justify="right" if name in ("checkpoint", "attempts") else "left", no_wrap=True)
    table.add_column("executed", justify="right")
    for row in rows(end, fault):
        style = "magenta" if "✗" in row.nodes else ""
        cells = (row.checkpoint, row.task, row.attempts, row.nodes, row.executed)
        # As Text: a name in brackets is a name, and no markup.
        table.add_row(*map(Text, cells), style=style)
    parts: list[RenderableType] = [table, Text()]
    totals = [("run", f"{end.phase} after {seconds:.1f} s, {len(end.calls)} task calls, {len(end.ledger)} checkpoints")]
    parts.append(_pairs("What was lost", [*totals, *(losses(end, fault) if fault else [])]))
    parts += [Text(), Text("What came out", "bold"), *(Text(f"  {line}") for line in output_lines(Value(end.output)))]
    parts += [Text(), Text("Verdict, computed from ledger and witnesses", "bold"), *(_claim(claim) for claim in claims)]
    return Group(*parts)


def _pairs(title: str, pairs: Sequence[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        grid.add_row(Text(f"  {name}", "dim"), Text(value))
    return Group(Text(title, "bold"), grid)


def _claim(claim: Claim) -> Text:
    mark, colour = ("✓", "green") if claim.holds else ("✗", "bold red")
    return Text.assemble((f"  {mark} {claim.text}", colour), (f"  ({claim.detail})", "dim" if claim.holds else "red"))
