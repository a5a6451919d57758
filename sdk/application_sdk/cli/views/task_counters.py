"""Counts of a run's calls by task, for the table on a terminal. Written by one thread, read by another."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from application_sdk.engines.local.events import AttemptFailed, AttemptStarted, Called, Committed, Event, Progressed
from application_sdk.engines.local.render import duration, progress_text
from application_sdk.execution.engine import CANCEL_KEY


@dataclass(slots=True)
class TaskTally:
    """The calls of one task."""

    task: str
    calls: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    running: set[str] = field(default_factory=set)
    retries: dict[str, float] = field(default_factory=dict)
    """When calls that wait for another attempt are tried again, by key."""
    timers: dict[str, float] = field(default_factory=dict)
    progress: str = ""

    @property
    def under_way(self) -> bool:
        """Whether anything of it goes on."""
        return bool(self.running or self.retries or self.timers)

    def remark(self, now: float) -> str:
        """What is worth saying beside the counts."""
        parts: list[str] = []
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.cancelled:
            parts.append(f"{self.cancelled} cancelled")
        if len(self.running) > 1:
            parts.append(f"{len(self.running)} running")
        if self.retries:
            parts.append(f"{len(self.retries)} again in {duration(max(min(self.retries.values()) - now, 0))}")
        if self.timers:
            parts.append(f"{duration(max(min(self.timers.values()) - now, 0))} left")
        if self.progress and self.running:
            parts.append(self.progress)
        return ", ".join(parts)


class Tallies:
    """Takes notices from the engine's thread; gives rows to the one that draws."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskTally] = {}
        self._lock = threading.Lock()
        self.closed = False

    def notice(self, notice: Event) -> None:
        """Count an event."""
        with self._lock:
            if isinstance(notice, Called):
                tally = self._of(notice.call.task)
                tally.calls += 1
                if notice.due is not None:
                    tally.timers[notice.call.key] = notice.due
            elif isinstance(notice, AttemptStarted):
                tally = self._of(notice.call.task)
                tally.running.add(notice.call.key)
                tally.retries.pop(notice.call.key, None)
            elif isinstance(notice, AttemptFailed):
                tally = self._of(notice.call.task)
                tally.running.discard(notice.call.key)
                tally.retries[notice.call.key] = notice.retry_at
            elif isinstance(notice, Progressed):
                self._of(notice.call.task).progress = progress_text(notice.progress)
            elif isinstance(notice, Committed):
                self._commit(notice)

    def close(self) -> None:
        """The run isn't executed any more."""
        self.closed = True

    def rows(self) -> list[TaskTally]:
        """A copy of the counts, in the order in which the tasks were first called."""
        with self._lock:
            return [
                replace(tally, running=set(tally.running), retries=dict(tally.retries), timers=dict(tally.timers))
                for tally in self._tasks.values()
            ]

    def _commit(self, notice: Committed) -> None:
        done = notice.completion
        if done.key == CANCEL_KEY:
            return
        tally = self._of(done.task)
        tally.running.discard(done.key)
        tally.retries.pop(done.key, None)
        tally.timers.pop(done.key, None)
        if done.outcome == "Succeeded":
            tally.done += 1
        elif done.outcome == "Failed":
            tally.failed += 1
        else:
            tally.cancelled += 1

    def _of(self, task: str) -> TaskTally:
        return self._tasks.setdefault(task, TaskTally(task))
