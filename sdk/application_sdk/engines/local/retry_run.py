"""A second chance for a run that failed or was cancelled: another ledger in place of the old one, which is kept.

What was completed before the failure stays, in its order, and is replayed. What was completed beside it, by calls that
the route had made before it saw the failure, is set aside: the route gets it again when it makes the same call again.
All else is executed anew, with fresh budgets; attempt numbers go on growing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from application_sdk.engines.local.errors import RunFinishedError
from application_sdk.engines.local.ledger import Ledger, LedgerSeed
from application_sdk.engines.local.lock import RunLock
from application_sdk.engines.local.records import AttemptRecord, CallRecord, RunRecord
from application_sdk.engines.local.run_store import RunFolder
from application_sdk.errors import TaskFailedError
from application_sdk.execution.engine import Completion
from application_sdk.wire import reasons


@dataclass(frozen=True, slots=True)
class RetainedCalls:
    """What a retry keeps, in numbers."""

    checkpoints: int
    """Replayed."""
    detached: int
    """Set aside for calls that the route makes again."""


def retry(folder: RunFolder, cleanup_lines: range | None, cleanup_file: str) -> RetainedCalls:
    """Put a ledger without the failure in place of the run's. Raises RunBusyError, RunFinishedError or a LedgerError.

    `cleanup_file` and `cleanup_lines` say where the app's `on_complete` is: what was called there belongs to the end
    that is taken back.
    """
    with RunLock(folder.run, folder.lock):
        with Ledger.open(folder.ledger) as ledger:
            run = ledger.run()
            if run.phase not in ("Failed", "Cancelled"):
                raise RunFinishedError(_refusal(run))
            calls = [call for call in ledger.calls() if not _is_cleanup(call, cleanup_lines, cleanup_file)]
            inheritance = select_seed(run, ledger.history(), ledger.detached(), calls, ledger.attempts())
            ledger.prepare_to_be_replaced()
        archive = folder.path / f"ledger-{run.generation}.db"
        archive.unlink(missing_ok=True)
        os.link(folder.ledger, archive)
        # Removed before the new ledger has its name: a crash in between leaves a failed run without the wish to cancel.
        folder.cancel_request.unlink(missing_ok=True)
        successor = replace(run, generation=run.generation + 1)
        Ledger.create(folder.ledger, successor, inheritance).close()
    return RetainedCalls(len(inheritance.completions), len(inheritance.detached))


def select_seed(
    run: RunRecord,
    history: Sequence[Completion],
    late: Sequence[Completion],
    calls: Sequence[CallRecord],
    attempts: Sequence[AttemptRecord],
) -> LedgerSeed:
    """What of a ledger outlasts the failure of its run. `calls` are those of the route, without its clean-up's; `late`
    are completions that were set aside."""
    by_key = {record.call.key: record for record in calls}
    cut = _cut(run, history, by_key)
    kept = list(history[:cut])
    taken = {completion.key for completion in kept}
    detached = [
        completion
        for completion in {done.key: done for done in [*history[cut:], *late] if done.key not in taken}.values()
        if completion.outcome == "Succeeded"
        and completion.key in by_key
        and by_key[completion.key].call.role == "task"
        and by_key[completion.key].made_after <= cut
    ]
    return LedgerSeed(
        calls=[by_key[completion.key] for completion in kept],
        completions=kept,
        detached=detached,
        # Numbers that were used stay used; what was charged for them isn't charged again.
        attempts=[
            attempt
            if attempt.key in taken
            else replace(attempt, budget="None", reason=attempt.reason or reasons.INTERRUPTED)
            for attempt in attempts
        ],
        pending=[replace(record, not_before=None) for record in calls if record.call.key not in taken],
    )


def _cut(run: RunRecord, history: Sequence[Completion], calls: dict[str, CallRecord]) -> int:
    """How many completions come before the one that the run failed of."""
    bad = [place for place, completion in enumerate(history) if completion.outcome != "Succeeded"]
    for place in bad:
        if run.error is not None and run.error["message"] == _as_the_route_saw_it(history[place]):
            return place
    if bad:
        return bad[0]
    return next((place for place, completion in enumerate(history) if completion.key not in calls), len(history))


def _as_the_route_saw_it(completion: Completion) -> str:
    error = completion.error
    if error is None:
        return ""
    return str(
        TaskFailedError(
            completion.task,
            error_type=error["type"],
            error_message=error["message"],
            attempts=completion.attempts,
        )
    )


def _is_cleanup(record: CallRecord, lines: range | None, file: str) -> bool:
    name, _, number = record.call.line.rpartition(":")
    if lines is None or not number.isdigit() or int(number) not in lines:
        return False
    return Path(name) == Path(file)


def _refusal(run: RunRecord) -> str:
    if run.phase in ("Running", "Stalled"):
        return (
            f"run {run.name!r} isn't over, so there is no failure to take back. Go on with `apprun resume {run.name}`"
        )
    return f"run {run.name!r} has succeeded; there is nothing to try again"
