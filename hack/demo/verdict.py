"""The verdict: claims about a finished run, each computed from what the cluster holds. Pure.

Two books are compared. The ledger is AppRun's own. The witnesses are ConfigMaps that each task body leaves as its last
act, which AppRun neither writes nor reads: so many witnesses, so many bodies that ran to their end. A body that died
with its node before its last act left none, and ran again elsewhere; one that died after it, before its result was
recorded, left one and so did the next attempt. AppRun promises nothing else for uncommitted work: the claims allow it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from hack.demo.injected_fault import InjectedFault
from hack.demo.observe import Value
from hack.demo.snapshot import Checkpoint, Snapshot, Witness
from hack.restarts import Expectation, Termination, unexpected


@dataclass(frozen=True)
class Claim:
    """One sentence, whether it holds, and what it was computed from or, when it fails, what contradicts it."""

    text: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Evidence:
    """All that the verdict rests on. `groups` and `kinds` were counted apart from the run, through the API."""

    end: Snapshot
    fault: InjectedFault | None
    groups: int
    kinds: int
    terminations: tuple[Termination, ...]
    """Restarts and removals of the operator's own pods."""


def verdict(evidence: Evidence) -> tuple[Claim, ...]:
    """Every claim of the demo, in the order in which a person would ask. All must hold."""
    end, fault = evidence.end, evidence.fault
    claims = [_succeeded(end), _one_entry_each(end), _books_agree(end)]
    if fault is None:
        claims.append(Claim("something was broken while the run worked", False, "the moment for it never came"))
        return (*claims, _operator_lived(evidence), _output_right(evidence))
    claims += [_past_kept(end, fault), _committed_ran_once(end, fault), _untouched_ran_once(end, fault)]
    claims += [_lost_ran_again(end, fault), _driver_replaced(end, fault), _charged_to_cluster(end, fault)]
    return (*claims, _operator_lived(evidence), _output_right(evidence))


def _succeeded(end: Snapshot) -> Claim:
    return Claim("the run succeeded", end.phase == "Succeeded", end.message or end.phase)


def _one_entry_each(end: Snapshot) -> Claim:
    times = Counter(entry.key for entry in end.ledger)
    twice = [key for key, count in times.items() if count > 1]
    gaps = [entry.sequence for place, entry in enumerate(end.ledger) if entry.sequence != place]
    missing = [call.label for call in end.calls if call.key not in times]
    good = bool(end.ledger) and not (twice or gaps or missing)
    wrong = f"twice: {_some(twice)}; out of place: {_some(gaps)}; not there: {_some(missing)}"
    return Claim(
        "the ledger holds every task call once, without a gap",
        good,
        f"{len(end.ledger)} checkpoints for {len(end.calls)} task calls" if good else wrong,
    )


def _books_agree(end: Snapshot) -> Claim:
    """Each checkpoint has one witness of the very attempt that it records; no witness is without a checkpoint."""
    witnesses = Counter((witness.key, witness.attempt) for witness in end.witnesses)
    unwitnessed = [e.task for e in end.ledger if e.outcome == "Succeeded" and witnesses[e.key, e.attempts] != 1]
    unknown = [witness.pod for witness in end.witnesses if witness.key not in end.committed]
    good = bool(end.ledger) and not (unwitnessed or unknown)
    return Claim(
        "every checkpoint stands for one real execution, and every execution is in the ledger",
        good,
        f"{len(end.witnesses)} witnesses, counted outside the ledger"
        if good
        else f"not witnessed exactly once: {_some(unwitnessed)}; witnessed, not in the ledger: {_some(unknown)}",
    )


def _past_kept(end: Snapshot, fault: InjectedFault) -> Claim:
    unchanged = end.ledger[: len(fault.before)] == fault.before
    return Claim(
        "nothing committed was lost or changed",
        unchanged,
        f"the {len(fault.before)} checkpoints from then are the ledger's first {len(fault.before)}"
        if unchanged
        else "the ledger doesn't begin with the checkpoints that it held at the fault",
    )


def _committed_ran_once(end: Snapshot, fault: InjectedFault) -> Claim:
    return _ran_once("every task committed by the time of the fault executed once", fault.before, end)


def _untouched_ran_once(end: Snapshot, fault: InjectedFault) -> Claim:
    settled = {entry.key for entry in fault.before} | {loss.key for loss in fault.losses}
    others = tuple(entry for entry in end.ledger if entry.key not in settled)
    return _ran_once("every other task that the fault didn't touch executed once", others, end)


def _ran_once(text: str, entries: tuple[Checkpoint, ...], end: Snapshot) -> Claim:
    times = Counter(witness.key for witness in end.witnesses)
    wrong = [f"{entry.task} ({times[entry.key]} times)" for entry in entries if times[entry.key] != 1]
    return Claim(
        text, not wrong, f"{len(entries) - len(wrong)} of {len(entries)}" + (f"; not: {_some(wrong)}" if wrong else "")
    )


def _lost_ran_again(end: Snapshot, fault: InjectedFault) -> Claim:
    text = (
        "every task that was lost with the node executed again elsewhere"
        if fault.kind == "node"
        else "every task whose pod was deleted executed again"
    )
    if not fault.lost_tasks:
        return Claim(text, False, "no task was lost, so nothing was shown")
    witnesses: dict[str, list[Witness]] = {}
    for witness in end.witnesses:
        witnesses.setdefault(witness.key, []).append(witness)
    wrong = []
    for loss in fault.lost_tasks:
        entry = end.committed.get(loss.key)
        last = max(witnesses.get(loss.key, []), key=lambda witness: witness.attempt, default=None)
        again = (
            entry is not None and entry.attempts > loss.attempt and last is not None and last.attempt == entry.attempts
        )
        if not again or (fault.kind == "node" and last is not None and last.node == fault.node):
            wrong.append(loss.label)
    extra = sum(max(0, len(witnesses.get(loss.key, [])) - 1) for loss in fault.lost_tasks)
    detail = f"{len(fault.lost_tasks) - len(wrong)} of {len(fault.lost_tasks)}"
    if extra:
        detail += f"; {extra} of them had come to their last act before, too late to be recorded"
    return Claim(text, not wrong, detail + (f"; not: {_some(wrong)}" if wrong else ""))


def _driver_replaced(end: Snapshot, fault: InjectedFault) -> Claim:
    lost, driver = fault.lost_driver, end.driver
    replaced = lost is not None and driver is not None and driver.attempt > lost.attempt
    if replaced and driver is not None:
        return Claim("the driver was lost and another took over", True, f"attempt {driver.attempt} ended the run")
    return Claim(
        "the driver was lost and another took over", False, "the driver wasn't lost" if lost is None else "it wasn't"
    )


def _charged_to_cluster(end: Snapshot, fault: InjectedFault) -> Claim:
    ended = [(task.label, each) for task in end.tasks for each in task.ended]
    wrong = [f"{label}: {each.reason} ({each.budget})" for label, each in ended if each.budget != "Disruption"]
    return Claim(
        "no lost attempt was charged to a task's own retries",
        not wrong and len(ended) >= len(fault.losses),
        f"{len(ended)} attempts ended by the cluster" + (f"; not: {_some(wrong)}" if wrong else ""),
    )


def _operator_lived(evidence: Evidence) -> Claim:
    """A node takes the operator's pod along, if there is one on it, and starts it again."""
    fault = evidence.fault
    lost = (
        [Expectation("its node was killed", fault.at, math.inf, node=fault.node, restarts=True)]
        if fault is not None and fault.kind == "node"
        else []
    )
    wrong = [termination.text for termination in unexpected(evidence.terminations, lost)]
    return Claim(
        "no pod of the operator restarted that nobody killed",
        not wrong,
        _some(wrong) if wrong else f"terminated with its node: {len(evidence.terminations) or 'none'}",
    )


def _output_right(evidence: Evidence) -> Claim:
    output = Value(evidence.end.output)
    counts = (output["groups"].number(-1), output["kinds"].number(-1))
    edges = {edge["id"].text for edge in output["lineage"]["edges"].items}
    lineage = "AppRun/AppTask" in edges
    return Claim(
        "the output is right",
        counts == (evidence.groups, evidence.kinds) and lineage,
        f"{counts[0]} API groups and {counts[1]} kinds, the API server says {evidence.groups} and {evidence.kinds}; "
        f"the lineage knows {'its own run' if lineage else 'nothing of its own run'}",
    )


def _some(items: list[str] | list[int]) -> str:
    listed = ", ".join(str(each) for each in items[:5])
    return (listed + (", …" if len(items) > 5 else "")) or "none"
