"""A run's calls as a tree of rows: which call followed from which, and its state. Pure; `list_show` prints it.

A call stands under the call whose result its branch of the route had last. As long as one follows from one they stay at
the same depth, so a sequence reads as a list and a fan-out as a tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from application_sdk.cli.sources.records import TERMINAL_STATES, Attempt, Call, RunDetails, State
from application_sdk.engines.local.render import duration, one_line, progress_text
from application_sdk.wire.reasons import COMPLETED

FOLD_FROM: Final = 20
"""So many equal finished calls, and more, are one row, unless all are asked for."""
RESULT_LENGTH: Final = 100
HEADINGS: Final = ("CALL", "STATE", "ATTEMPT", "NODE", "WARM POD", "TOOK", "RESULT")
IN_DRIVER: Final = " (in the driver)"
STYLES: Final[dict[str, str]] = {
    "Succeeded": "green",
    "Failed": "red",
    "Cancelled": "yellow",
    "Waiting": "yellow",
    "Retrying": "yellow",
    "Stalled": "red",
    "Running": "cyan",
    "Starting": "cyan",
    "Interrupted": "yellow",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tree."""

    name: str
    state: str = ""
    attempt: str = ""
    node: str = ""
    pod: str = ""
    took: str = ""
    result: str = ""

    def cells(self) -> tuple[str, ...]:
        return (self.name, self.state, self.attempt, self.node, self.pod, self.took, self.result)


@dataclass(frozen=True, slots=True)
class _Group:
    """Finished calls of one task, with one outcome and nothing below them, that stand side by side."""

    calls: tuple[Call, ...]


def rows(details: RunDetails, now: float, *, every: bool = False) -> list[Row]:
    """The tree of a run. `every`: no calls are folded into one row."""
    children: dict[str, list[Call]] = {}
    parents = _parents(details.calls)
    for call in details.calls:
        children.setdefault(parents.get(call.key, ""), []).append(call)
    tree: list[Row] = []
    if details.driver is not None:
        tree.append(_row("", details.driver, now, "(route)"))
        tree += _attempt_rows("", details.driver)
    tree += _branch(children, "", "", now, every=every)
    return tree


def _parents(calls: Sequence[Call]) -> dict[str, str]:
    """By key: the key of the call that it follows from, for all but the first of a branch of the route."""
    latest: dict[str, str] = {}
    parents: dict[str, str] = {}
    for call in calls:
        if call.lineage in latest:
            parents[call.key] = latest[call.lineage]
        if call.consumed and call.role in ("task", "local"):
            latest[call.consumed] = call.key
    return parents


def _branch(children: dict[str, list[Call]], parent: str, indent: str, now: float, *, every: bool) -> Iterator[Row]:
    """What follows from `parent`, depth first, without recursion along a sequence."""
    todo: list[tuple[Call | _Group, str, bool]] = _siblings(children, parent, indent, every=every)
    todo.reverse()
    while todo:
        item, indent, last = todo.pop()
        mark = f"{indent}{'└─ ' if last else '├─ '}"
        if isinstance(item, _Group):
            yield _group_row(mark, item)
            continue
        following = children.get(item.key, [])
        below = f"{indent}{'   ' if last else '│  '}"
        if len(following) == 1:
            # The next of a sequence takes its place, and its elbow.
            yield _row(f"{indent}├─ ", item, now)
            yield from _attempt_rows(f"{indent}│  ", item)
            todo.append((following[0], indent, last))
            continue
        yield _row(mark, item, now)
        yield from _attempt_rows(below, item)
        todo += reversed(_siblings(children, item.key, below, every=every))


def _siblings(
    children: dict[str, list[Call]], parent: str, indent: str, *, every: bool
) -> list[tuple[Call | _Group, str, bool]]:
    items: list[Call | _Group] = []
    groups: dict[tuple[str, State], list[Call]] = {}
    calls = children.get(parent, [])
    if not every and len(calls) >= FOLD_FROM:
        for call in calls:
            if call.state in TERMINAL_STATES and call.key not in children and not _troubled(call):
                groups.setdefault((call.task, call.state), []).append(call)
    folded = {call.key for group in groups.values() if len(group) >= FOLD_FROM for call in group}
    for call in calls:
        if call.key not in folded:
            items.append(call)
        elif groups[call.task, call.state][0] is call:
            items.append(_Group(tuple(groups[call.task, call.state])))
    return [(item, indent, index == len(items) - 1) for index, item in enumerate(items)]


def _troubled(call: Call) -> bool:
    return any(attempt.reason not in (None, COMPLETED) for attempt in call.attempts) or call.state == "Failed"


def _row(mark: str, call: Call, now: float, name: str = "") -> Row:
    return Row(
        f"{mark}{name or call.task}{IN_DRIVER if call.role == 'local' else ''}",
        call.state,
        str(call.attempt) if call.attempt else "",
        call.node,
        call.pod,
        _took(call, now),
        _result(call, now),
    )


def _group_row(mark: str, group: _Group) -> Row:
    first, last = group.calls[0], group.calls[-1]
    spent = [call.committed_at - call.called_at for call in group.calls if call.committed_at and call.called_at]
    took = f"≤ {duration(max(spent))}" if spent else ""
    result = f"{one_line(first.output, 40)} … {one_line(last.output, 40)}" if first.output is not None else ""
    return Row(f"{mark}{first.task} ×{len(group.calls)}", first.state, took=took, result=result)


def _attempt_rows(indent: str, call: Call) -> Iterator[Row]:
    if call.state == "Failed" and len(call.attempts) == 1:
        # The call's own row says it all.
        return
    for attempt in call.attempts:
        if attempt.reason not in (None, COMPLETED):
            yield Row(
                f"{indent}  ✗ attempt {attempt.number}",
                attempt.reason or "",
                "",
                attempt.node,
                took=_spent(attempt),
                result=_blame(attempt),
            )


def _blame(attempt: Attempt) -> str:
    charged = {"App": "the task", "Disruption": attempt.environment, "None": "nobody"}.get(attempt.budget or "", "")
    first = attempt.message.partition("\n")[0]
    message = first if len(first) <= 300 else f"{first[:299]}…"
    return f"{message} (charged to {charged})" if charged else message


def _spent(attempt: Attempt) -> str:
    return duration(attempt.finished_at - attempt.started_at) if attempt.finished_at and attempt.started_at else ""


def _took(call: Call, now: float) -> str:
    if call.state in ("Queued", "Waiting", "Retrying") or call.called_at is None:
        return ""
    begun = call.started_at or call.called_at
    if call.state in TERMINAL_STATES:
        return duration(max(call.committed_at - begun, 0)) if call.committed_at else ""
    return duration(max(now - begun, 0))


def _result(call: Call, now: float) -> str:
    if call.state == "Succeeded":
        return one_line(call.output, RESULT_LENGTH) if call.output is not None else ""
    if call.error is not None and call.state != "Retrying":
        first = call.error["message"].partition("\n")[0]
        return f"{call.error['type']}: {first}" if first else call.error["type"]
    if call.state == "Retrying":
        last = next((attempt for attempt in reversed(call.attempts) if attempt.reason), None)
        after = f" after {last.reason}" if last else ""
        return f"again in {duration(max((call.due_at or now) - now, 0))}{after}"
    if call.state == "Sleeping":
        return f"{duration(max(call.due_at - now, 0))} left" if call.due_at else ""
    if call.message:
        return call.message.partition("\n")[0]
    if call.progress:
        return progress_text(call.progress)
    return f"called at {call.line}" if call.line and call.role != "driver" else ""
