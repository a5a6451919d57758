"""Describes in lines what happened between two snapshots. Pure; `catalog` prints them, `dashboard` shows the latest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hack.demo.injected_fault import InjectedFault
from hack.demo.snapshot import Snapshot

Mood = Literal["plain", "good", "bad", "dim"]


@dataclass(frozen=True)
class Entry:
    """One thing that happened, at `at` seconds since the epoch."""

    at: float
    text: str
    mood: Mood = "plain"


def between(before: Snapshot | None, after: Snapshot) -> list[Entry]:
    """Calls, starts, commits, retries and node changes that `after` shows and `before` doesn't."""
    old = before or Snapshot(at=after.at, phase="")
    entries = [*_nodes(old, after), *_attempts(old, after), *_starts(old, after), *_commits(old, after)]
    if after.phase != old.phase and after.phase:
        mood: Mood = (
            "good" if after.phase == "Succeeded" else "plain" if after.phase in ("Pending", "Running") else "bad"
        )
        message = f": {after.message}" if after.message and mood == "bad" else ""
        entries.append(Entry(after.at, f"the run is {after.phase}{message}", mood))
    return entries


def of_fault(before: InjectedFault | None, after: InjectedFault | None, now: float) -> list[Entry]:
    """The fault, and what became known of it since. `now` is the time of the newest snapshot."""
    if after is None:
        return []
    entries = []
    if before is None:
        what = "killed" if after.kind == "node" else "every pod of the run deleted"
        entries.append(Entry(after.at, f"{after.node} {what} at {clock(after.at)}", "bad"))
    new = len(after.losses) - (len(before.losses) if before else 0)
    if new > 0:
        driver = ", the driver among them" if after.lost_driver and not (before and before.lost_driver) else ""
        entries.append(Entry(now, f"lost with it: {new} pods at work{driver}", "bad"))
    if after.noticed_by_kubernetes and not (before and before.noticed_by_kubernetes):
        seconds = after.noticed_by_kubernetes - after.at
        entries.append(
            Entry(after.noticed_by_kubernetes, f"Kubernetes noticed after {seconds:.1f} s: {after.node} is NotReady")
        )
    if after.noticed_by_apprun and not (before and before.noticed_by_apprun):
        seconds = after.noticed_by_apprun - after.at
        entries.append(
            Entry(
                after.noticed_by_apprun,
                f"AppRun starts the lost pods elsewhere, {seconds:.1f} s after the fault",
                "good",
            )
        )
    if after.running_again and not (before and before.running_again):
        seconds = after.running_again - after.at
        entries.append(
            Entry(after.running_again, f"all that was lost is at work again, {seconds:.1f} s after the fault", "good")
        )
    if after.power_on and not (before and before.power_on):
        entries.append(Entry(after.power_on, f"{after.node} is switched on again"))
    if after.node_back and not (before and before.node_back):
        entries.append(Entry(after.node_back, f"{after.node} is Ready again", "good"))
    return entries


def clock(at: float) -> str:
    """A time of day, in this machine's zone."""
    from datetime import datetime

    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


def _nodes(old: Snapshot, new: Snapshot) -> Iterator[Entry]:
    known = {node.name for node in old.nodes}
    if not known:
        names = ", ".join(node.name for node in new.nodes)
        yield Entry(new.at, f"nodes: {names}", "dim")


def _attempts(old: Snapshot, new: Snapshot) -> Iterator[Entry]:
    for task in new.tasks:
        before = old.by_name.get(task.name)
        if before is not None and task.attempt > before.attempt:
            why = task.ended[-1].reason if task.ended else "unknown"
            who = "driver" if task.role == "driver" else task.label
            yield Entry(new.at, f"{who}: attempt {before.attempt} is over ({why}), attempt {task.attempt} begins")


def _starts(old: Snapshot, new: Snapshot) -> Iterator[Entry]:
    running = {pod.name for pod in old.pods if pod.phase == "Running"}
    for pod in new.pods:
        if pod.phase == "Running" and pod.name not in running and not pod.leaving:
            task = new.by_name.get(pod.task)
            who = "driver" if pod.role == "driver" else task.label if task else pod.name
            again = f" (attempt {pod.attempt})" if pod.attempt > 1 else ""
            yield Entry(new.at, f"{who} runs on {pod.node}{again}", "dim")


def _commits(old: Snapshot, new: Snapshot) -> Iterator[Entry]:
    labels = {task.key: task.label for task in new.calls}
    for entry in new.ledger[len(old.ledger) :]:
        mood: Mood = "good" if entry.outcome == "Succeeded" else "bad"
        number = entry.sequence + 1
        yield Entry(new.at, f"checkpoint {number}: {labels.get(entry.key, entry.task)} {entry.outcome.lower()}", mood)
