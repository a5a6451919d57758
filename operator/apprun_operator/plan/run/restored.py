"""Runs that a backup brings back: how one is recognised, and what holds it.

A backup tool restores an AppRun as a new object, without its status, and with it goes all that is
known of what the run has done. So the operator writes the run's uid into an annotation before it
starts anything: annotations survive backups, a uid doesn't. A run without a status that bears
another object's uid has had a past, and is held.
"""

from __future__ import annotations

from typing import Final

from application_sdk.wire import names
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import RunRecord
from apprun_operator.plan.actions import MarkRun, Plan
from apprun_operator.plan.conditions import RunCondition
from apprun_operator.plan.status_patch import patch_condition

RESTORED: Final = "Restored"
RESTORING: Final = "Restoring"
MARK_REFUSED: Final = "MarkRefused"

INCOMPLETE: Final = RunCondition(
    "Pending",
    RESTORING,
    "`apprun import` is bringing this run back, and nothing is started before that is done. If the import was"
    " interrupted, import the same file again, which goes on from there, or delete the run",
)


def hold_condition(run: RunRecord) -> RunCondition | None:
    """What to say of a run whose past is missing, or not all there yet; None for any other run.

    Annotations can be put on any run, so one that has begun isn't stopped by them.
    """
    # guard: restored-mark-after-start - anybody who may annotate a run could stop one that has
    # begun
    if run.began or run.finished or run.restored_uid:
        return None
    # guard: import-in-progress - starting a run before its ledger is back would repeat what the
    # ledger holds
    if run.restored_from:
        # Even if spec.cancel is set, which may be a part of the past: half of that is worse than
        # none.
        return INCOMPLETE
    # guard: restored-without-status - a backup tool restores a run without its status, and starting
    # it would repeat all its side effects
    if run.cancel or run.began_as in ("", run.meta.uid):
        return None
    namespace, name = run.meta.key
    return RunCondition(
        "Stalled",
        RESTORED,
        "the run was restored or copied without its status: it had begun before, and what it did then isn't known here,"
        f" so nothing is started. `apprun import FILE -n {namespace}` brings its past back from a full backup;"
        f" `kubectl annotate apprun {name} -n {namespace} {names.BEGAN_AS_ANNOTATION}-` runs it from the start; or"
        " delete it",
    )


def planted(observed: Observed) -> str:
    """What to say of a call that an import has made for a run which was not imported; empty when
    there is none.

    The policies can't see the run behind an AppTask, so there the verb `restore` suffices. Here
    such a call is found before its result can be committed.
    """
    for name, task in observed.tasks.items():
        # guard: no-planted-results - a task with the mark of an import brings its own result
        if task.restored_from and task.restored_from != observed.run.restored_uid:
            return (
                f"AppTask {name} was made by an import, but this run wasn't imported: its result isn't one of this run."
                " Find out who holds the verb `restore` on appruns, and start a new run"
            )
    return ""


def mark(observed: Observed, now: float) -> Plan | None:
    """What to do before a run may begin; None when it bears its mark.

    The mark comes before the first status and before anything is started: a crash in between leaves
    a run that is marked and has done nothing, which begins all the same, and whose restored copy is
    held without need.
    """
    run = observed.run
    # guard: run-marked-first - the mark is what tells a new run from one that a backup restored
    # without its status
    if run.began_as == run.meta.uid:
        return None
    rejection = observed.rejections.get(run.meta.key.name)
    if rejection is None or now >= rejection.retry_at:
        return Plan(first=[MarkRun(run.meta.key, run.meta.version, run.meta.uid)])
    condition = RunCondition(
        "Stalled",
        MARK_REFUSED,
        f"the run can't begin: the operator may not set its annotation {names.BEGAN_AS_ANNOTATION}, by which a restored"
        f" backup is recognised: {rejection.message}",
    )
    return Plan(patch_condition(run, condition, now), wake_at=rejection.retry_at)
