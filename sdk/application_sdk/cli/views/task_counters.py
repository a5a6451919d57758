"""Counts of a run's calls by task, for the table on a terminal. Written by one thread, read by another."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from application_sdk.engines.local.events import AttemptFailed, AttemptStarted, Called, Committed, Event, Progressed
from application_sdk.engines.local.render import duration, progress_text
from application_sdk.execution.engine import CANCEL_KEY


@dataclass(slots=True)
class TaskCounter:
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
    def unfinished(self) -> bool:
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


class TaskCounters:
    """Takes notices from the engine's thread; gives rows to the one that draws."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskCounter] = {}
        self._lock = threading.Lock()
        self.closed = False

    def notice(self, notice: Event) -> None:
        """Count an event."""
        with self._lock:
            if isinstance(notice, Called):
                counter = self._of(notice.call.task)
                counter.calls += 1
                if notice.due is not None:
                    counter.timers[notice.call.key] = notice.due
            elif isinstance(notice, AttemptStarted):
                counter = self._of(notice.call.task)
                counter.running.add(notice.call.key)
                counter.retries.pop(notice.call.key, None)
            elif isinstance(notice, AttemptFailed):
                counter = self._of(notice.call.task)
                counter.running.discard(notice.call.key)
                counter.retries[notice.call.key] = notice.retry_at
            elif isinstance(notice, Progressed):
                self._of(notice.call.task).progress = progress_text(notice.progress)
            elif isinstance(notice, Committed):
                self._commit(notice)

    def close(self) -> None:
        """The run isn't executed any more."""
        self.closed = True

    def rows(self) -> list[TaskCounter]:
        """A copy of the counts, in the order in which the tasks were first called."""
        with self._lock:
            return [
                replace(
                    counter, running=set(counter.running), retries=dict(counter.retries), timers=dict(counter.timers)
                )
                for counter in self._tasks.values()
            ]

    def _commit(self, notice: Committed) -> None:
        done = notice.completion
        if done.key == CANCEL_KEY:
            return
        counter = self._of(done.task)
        counter.running.discard(done.key)
        counter.retries.pop(done.key, None)
        counter.timers.pop(done.key, None)
        if done.outcome == "Succeeded":
            counter.done += 1
        elif done.outcome == "Failed":
            counter.failed += 1
        else:
            counter.cancelled += 1

    def _of(self, task: str) -> TaskCounter:
        return self._tasks.setdefault(task, TaskCounter(task))
