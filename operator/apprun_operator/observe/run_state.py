"""The state of one run in the cache: every object that belongs to it.

How it is kept decides what a plan costs. A committed call shrinks to its name, so a plan walks the
open calls alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from application_sdk.wire import names
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.packed_json import EMPTY
from apprun_operator.observe.pods import PodEvent, PodRecord, Rejection, RejectionKind
from apprun_operator.observe.records import Key, PageRecord, RunRecord, TaskRecord

MAX_REJECTION_DELAY: Final = 60.0
"""Seconds until a rejected pod is tried again, at most."""


@dataclass(slots=True)
class RunState:
    """One run with everything that belongs to it. Mutable: only the cache changes it.

    A `put_` method returns whether the run's next plan may differ. `now` is in seconds since the
    epoch.
    """

    name: str
    run: RunRecord | None = None
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    committed_tasks: set[str] = field(default_factory=set)
    committed_digests: dict[str, str] = field(default_factory=dict)
    """Digests of committed results, by the call's key; empty for the cancellation, which has no
    result."""
    next_sequence: int = 0
    """Ledger entries below this sequence are in `committed_digests`, or on pages."""
    pages: dict[int, PageRecord] = field(default_factory=dict)
    lost_pages: set[int] = field(default_factory=set)
    lost_tasks: set[str] = field(default_factory=set)
    altered_tasks: set[str] = field(default_factory=set)
    unreadable: dict[tuple[Kind, str], tuple[str, str]] = field(default_factory=dict)
    """Unreadable objects of the run: why, and the uid of their owner."""
    pods: dict[str, PodRecord] = field(default_factory=dict)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    pod_events: dict[str, PodEvent] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        """Nothing is known any more, so the cache drops it."""
        known = self.tasks or self.pods or self.pages or self.committed_tasks or self.unreadable
        return self.run is None and not (known or self.in_flight)

    @property
    def is_active(self) -> bool:
        """Pods of the run may call the API server, or be created at any moment: their accounts have
        to exist."""
        if self.run is None or not self.run.began or self.run.finished:
            return False
        resting = self.run.phase in ("Suspended", "Stalled")
        # guard: suspended-pods-keep-accounts - a task that still works couldn't report without its
        # account
        return not resting or any(not pod.ended for pod in self.pods.values())

    # Updates

    def put_run(self, run: RunRecord) -> None:
        if self.run is not None and self.run.app != run.app:
            # A corrected app is tried at once, whatever the delay was.
            self.rejections.clear()
        self.run = run
        for entry in reversed(run.checkpoints):
            if entry["sequence"] < self.next_sequence:
                break
            self._commit(entry["key"], entry.get("digest", ""))
        if run.checkpoints:
            self.next_sequence = max(self.next_sequence, run.checkpoints[-1]["sequence"] + 1)
        if run.finished:
            # No plan reads these again, and there may be many finished runs.
            self.run = replace(run, checkpoints=(), input=EMPTY, spec=EMPTY)

    def put_page(self, page: PageRecord) -> None:
        self.pages[page.number] = page
        self.lost_pages.discard(page.number)
        for key, digest in page.digests.items():
            self._commit(key, digest)

    def put_task(self, task: TaskRecord, now: float) -> bool:
        name = task.meta.key.name
        if task.key in self.committed_digests:
            self._file_committed_task(name, task)
            return True
        before = self.tasks.get(name)
        seen_at = now if before is None else before.seen_at
        self.tasks[name] = task = replace(task, seen_at=seen_at)
        if before is not None and before.attempt < task.attempt:
            self._forget_pod(before.pod_name)
        return before is None or replace(task, meta=before.meta, heartbeat=before.heartbeat) != before

    def put_pod(self, pod: PodRecord, now: float) -> bool:
        name = pod.meta.key.name
        before = self.pods.get(name)
        seen_at = now if before is None else before.seen_at
        ungated_at = 0.0 if before is None else now if before.gates and not pod.gates else before.ungated_at
        self.pods[name] = pod = replace(pod, seen_at=seen_at, ungated_at=ungated_at)
        self.rejections.pop(name, None)
        if not pod.starting:
            self.pod_events.pop(name, None)
        return before is None or replace(pod, meta=before.meta) != before

    def record_rejection(self, pod: str, kind: RejectionKind, message: str, now: float) -> None:
        """The API server rejected `pod`. Each further refusal doubles the time until the next try."""
        before = self.rejections.get(pod)
        count = 1 if before is None or before.kind != kind else before.count + 1
        delay = min(2.0 ** (count - 1), MAX_REJECTION_DELAY)
        since = now if before is None else before.since
        self.rejections[pod] = Rejection(pod, kind, message, since, now + delay, count)

    def verify_task(self, name: str, task: TaskRecord | None, exists: bool) -> None:
        """Record what the API server has of a committed call's AppTask; no `task` if that can't be
        read."""
        if not exists:
            self.lost_tasks.add(name)
        elif task is None or task.key not in self.committed_digests or not self._matches_ledger(task):
            self.altered_tasks.add(name)
        else:
            self._file_committed_task(name, task)

    # Deletions

    def drop(self, kind: Kind, key: Key) -> None:
        """Remove a deleted object."""
        self.unreadable.pop((kind, key.name), None)
        if kind == "appruns":
            self._drop_run()
        elif kind == "apptasks":
            task = self.tasks.pop(key.name, None)
            if task is not None:
                # The pod of an AppTask that is created again has the same name: nothing of this one
                # may be left.
                # guard: vanished-pod-forgotten - a new run of the same name would inherit the end
                # of this pod
                self._forget_pod(task.pod_name)
            self.committed_tasks.discard(key.name)
            self.altered_tasks.discard(key.name)
        elif kind == "appledgers":
            number = next((n for n, page in self.pages.items() if page.meta.key == key), None)
            if number is not None:
                del self.pages[number]
        elif kind == "pods":
            self._drop_pod(key.name)

    def _drop_run(self) -> None:
        """A new run of the same name starts with an empty ledger; objects of the deleted one have
        another owner uid."""
        self.run = None
        self.committed_digests.clear()
        self.committed_tasks.clear()
        self.pages.clear()
        self.lost_pages.clear()
        self.lost_tasks.clear()
        self.altered_tasks.clear()
        self.next_sequence = 0

    def _drop_pod(self, name: str) -> None:
        pod = self.pods.pop(name, None)
        self.pod_events.pop(name, None)
        task = None if pod is None else self.tasks.get(pod.task)
        if pod is not None and task is not None and _unanswered(task, pod):
            # Whoever deleted it, the attempt has ended, and the plan has to see that although the
            # pod is gone.
            # guard: vanished-pod-kept - the end of a pod that was deleted before it was read must
            # still be decided
            self.pods[name] = replace(pod, gone=True)

    # Reads

    def unseen_tasks(self) -> tuple[str, ...]:
        """AppTasks of committed calls that aren't known as the ledger has them.

        They are counted first: with thousands of calls a plan must not look for each.
        """
        expected = len(self.committed_digests) - (names.CANCEL_KEY in self.committed_digests)
        if expected <= len(self.committed_tasks):
            return ()
        missing = (names.task_name(self.name, key) for key in self.committed_digests if key != names.CANCEL_KEY)
        return tuple(sorted(name for name in missing if name not in self.committed_tasks))

    # Commits

    def _commit(self, key: str, digest: str) -> None:
        self.committed_digests[key] = digest
        name = names.task_name(self.name, key)
        task = self.tasks.get(name)
        if task is not None:
            self._file_committed_task(name, task)

    def _file_committed_task(self, name: str, task: TaskRecord) -> None:
        """Keep only the name of a committed call: nothing about it may change any more.

        An AppTask that differs from the ledger counts as unseen: it may be an old version, or
        altered.
        """
        if self.tasks.pop(name, None) is not None:
            self._forget_pod(task.pod_name)
        if self._matches_ledger(task):
            self.committed_tasks.add(name)
            self.lost_tasks.discard(name)
            self.altered_tasks.discard(name)
        else:
            self.committed_tasks.discard(name)

    def _matches_ledger(self, task: TaskRecord) -> bool:
        """Whether the AppTask of a committed call has the digest that the ledger has."""
        # guard: output-digest - an output that was changed after its commit would change the past
        return self.committed_digests[task.key] in ("", task.digest)

    def _forget_pod(self, name: str) -> None:
        """Drop what was kept of a decided attempt: the record of its vanished pod, and rejections."""
        self.rejections.pop(name, None)
        if name in self.pods and self.pods[name].gone:
            del self.pods[name]


def _unanswered(task: TaskRecord, pod: PodRecord) -> bool:
    same = task.pod_name == pod.meta.key.name and task.meta.uid == pod.meta.owner_uid
    return same and not task.finished and task.reported_error is None
