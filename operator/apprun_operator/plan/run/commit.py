"""Reports to checkpoints: which completions are committed now, in which order, and when older ones
move to a page.

The result goes into one status patch with the run's version. A page is created before the status
lets go of what is on it: a crash between the two leaves a page that the same step finds again, with
the same content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.fields import PAGE_SIZE, TAIL_LIMIT, Checkpoint, Outcome
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import Key, RunRecord, TaskRecord
from apprun_operator.observe.times import parse, rfc3339
from apprun_operator.plan.actions import CreatePage, RunAction
from apprun_operator.plan.metadata import owner_reference
from apprun_operator.plan.status_patch import patch_run


@dataclass(frozen=True, slots=True)
class Commit:
    """What the ledger becomes. `status` is empty when nothing is to be committed."""

    page: CreatePage | None
    status: JSONObject
    new: Sequence[Checkpoint]


NOTHING = Commit(None, {}, ())


def uncommitted(observed: Observed) -> list[TaskRecord]:
    """The calls that have ended and aren't in the ledger, in the order in which they are to come
    into it."""
    # guard: commit-once - a call that is committed twice would be delivered twice
    return sorted(
        (
            task
            for task in observed.tasks.values()
            if task.finished and task.role != "driver" and task.key not in observed.committed_keys
        ),
        key=lambda task: (task.finished_at, task.key),
    )


def commit(observed: Observed, now: float, *, cancel: bool = False) -> Commit:
    """Append the open calls that have ended, as many as the tail takes; the next pass commits the
    rest.

    With `cancel` the run's cancellation follows them. Nothing is committed while a page is unknown:
    a call on it would be committed twice.
    """
    # guard: commit-needs-pages - a page that isn't in the cache may hold the very call
    if observed.missing_pages:
        return NOTHING
    ended = uncommitted(observed)
    cancel = cancel and names.CANCEL_KEY not in observed.committed_keys
    if not ended and not cancel:
        return NOTHING
    run, tail, page = observed.run, list(observed.run.checkpoints), None
    if len(tail) >= TAIL_LIMIT:
        page, tail = _page(run, tail[:PAGE_SIZE]), tail[PAGE_SIZE:]
    sequence = tail[-1]["sequence"] + 1 if tail else run.pages * PAGE_SIZE
    # The route's clock reads these times: it must not run backwards when the operator's does.
    at = rfc3339(max([now, *(parse(entry["at"]) for entry in tail[-1:])]))
    free = TAIL_LIMIT - len(tail) - cancel
    new = [_checkpoint(task, sequence + place, at) for place, task in enumerate(ended[:free])]
    if cancel:
        new.append(_cancellation(sequence + len(new), at))
    status: JSONObject = {"checkpoints": cast("JSON", [*tail, *new]), "tasks": _counts(observed, new)}
    if page is not None:
        status["ledgerPages"] = run.pages + 1
    return Commit(page, status, new)


def ledger_writes(run: RunRecord, ledger: Commit, status: JSONObject, *, exact: bool = False) -> list[RunAction]:
    """The writes of a commit: the page, if the tail is full, then `status`, which includes the
    ledger's own fields."""
    page = [] if ledger.page is None else [ledger.page]
    patch = [patch_run(run, status, commits=len(ledger.new), exact=exact)] if status else []
    # guard: page-before-status - a crash after the status but before the page would lose 128
    # checkpoints
    return [*page, *patch]


def _checkpoint(task: TaskRecord, sequence: int, at: str) -> Checkpoint:
    entry = Checkpoint(
        sequence=sequence,
        key=task.key,
        task=task.task,
        outcome=cast("Outcome", task.phase),
        attempts=task.attempt,
        digest=task.digest,
        at=at,
    )
    if task.node:
        entry["node"] = task.node
    return entry


def _cancellation(sequence: int, at: str) -> Checkpoint:
    """Where the route learns that it is cancelled. It answers no call."""
    key = names.CANCEL_KEY
    return Checkpoint(sequence=sequence, key=key, task=key, outcome="Cancelled", attempts=0, digest="", at=at)


def _page(run: RunRecord, entries: Sequence[Checkpoint]) -> CreatePage:
    name, number = run.meta.key.name, run.pages
    key = Key(run.meta.key.namespace, names.page_name(name, number))
    return CreatePage(
        key,
        {
            "apiVersion": names.API_VERSION,
            "kind": names.APP_LEDGER_KIND,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": {names.RUN_LABEL: name, names.MANAGED_BY_LABEL: names.MANAGED_BY},
                "ownerReferences": [owner_reference(names.APP_RUN_KIND, name, run.meta.uid)],
            },
            "spec": {"run": name, "number": number, "checkpoints": cast("JSON", list(entries))},
        },
    )


def _counts(observed: Observed, new: Sequence[Checkpoint]) -> JSONObject:
    """Counts of the committed calls grow with the ledger, in the same write; those of the open ones
    are of now."""
    done = {
        outcome.lower(): observed.run.counts.get(outcome.lower(), 0)
        + sum(1 for entry in new if entry["outcome"] == outcome and entry["key"] != names.CANCEL_KEY)
        for outcome in ("Succeeded", "Failed", "Cancelled")
    }
    committing = {entry["key"] for entry in new}
    open_calls = [t for t in observed.tasks.values() if t.role != "driver" and t.key not in committing]
    waiting = sum(1 for task in open_calls if task.phase == "Waiting")
    total = len(open_calls) + sum(done.values())
    return {"total": total, **done, "active": len(open_calls) - waiting, "waiting": waiting, "queued": 0}


def counts(observed: Observed) -> JSONObject:
    """The run's task counts as of now."""
    return _counts(observed, ())
