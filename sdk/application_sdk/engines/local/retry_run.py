"""Retries a run that failed or was cancelled: a new ledger replaces the old one, which is kept as
an archive.

Completions before the failure stay, in their order, and are replayed. Completions beside it, of
calls that the route had made before it saw the failure, are detached: the route receives one when
it makes the same call again. All other calls are executed again, with fresh budgets; attempt
numbers go on growing.
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
    """How many completions a retry keeps."""

    checkpoints: int
    """Replayed."""
    detached: int
    """Set aside for calls that the route makes again."""


def retry(folder: RunFolder, cleanup_lines: range | None, cleanup_file: str) -> RetainedCalls:
    """Put a ledger without the failure in place of the run's. Raises RunBusyError, RunFinishedError
    or a LedgerError.

    `cleanup_file` and `cleanup_lines` say where the app's `on_complete` is: what was called there
    belongs to the end that is taken back.
    """
    with RunLock(folder.run, folder.lock):
        with Ledger.open(folder.ledger) as ledger:
            run = ledger.run()
            if run.phase not in ("Failed", "Cancelled"):
                raise RunFinishedError(_refusal(run))
            calls = [call for call in ledger.calls() if not _is_cleanup(call, cleanup_lines, cleanup_file)]
            seed = select_seed(run, ledger.history(), ledger.detached(), calls, ledger.attempts())
            ledger.prepare_to_be_replaced()
        archive = folder.path / f"ledger-{run.generation}.db"
        archive.unlink(missing_ok=True)
        os.link(folder.ledger, archive)
        # Removed before the new ledger is in place: a crash in between leaves the failed run,
        # without its cancellation request. The other order would leave a run that is cancelled as
        # soon as it is resumed.
        folder.cancel_request.unlink(missing_ok=True)
        successor = replace(run, generation=run.generation + 1)
        Ledger.create(folder.ledger, successor, seed).close()
    return RetainedCalls(len(seed.completions), len(seed.detached))


def select_seed(
    run: RunRecord,
    history: Sequence[Completion],
    late: Sequence[Completion],
    calls: Sequence[CallRecord],
    attempts: Sequence[AttemptRecord],
) -> LedgerSeed:
    """What of a ledger outlasts the failure of its run. `calls` are those of the route, without its
    clean-up's; `late` are completions that were set aside."""
    by_key = {record.call.key: record for record in calls}
    cut = _retained_count(run, history, by_key)
    kept = list(history[:cut])
    retained_keys = {completion.key for completion in kept}
    detached = [
        completion
        for completion in {done.key: done for done in [*history[cut:], *late] if done.key not in retained_keys}.values()
        if completion.outcome == "Succeeded"
        and completion.key in by_key
        and by_key[completion.key].call.role == "task"
        and by_key[completion.key].made_after <= cut
    ]
    return LedgerSeed(
        calls=[by_key[completion.key] for completion in kept],
        completions=kept,
        detached=detached,
        # Used numbers stay used, but the attempts aren't charged to the new budgets.
        attempts=[
            attempt
            if attempt.key in retained_keys
            else replace(attempt, budget="None", reason=attempt.reason or reasons.INTERRUPTED)
            for attempt in attempts
        ],
        pending=[replace(record, not_before=None) for record in calls if record.call.key not in retained_keys],
    )


def _retained_count(run: RunRecord, history: Sequence[Completion], calls: dict[str, CallRecord]) -> int:
    """How many completions come before the one that the run failed of."""
    failures = [position for position, completion in enumerate(history) if completion.outcome != "Succeeded"]
    for position in failures:
        if run.error is not None and run.error["message"] == _route_error_message(history[position]):
            return position
    if failures:
        return failures[0]
    return next((position for position, completion in enumerate(history) if completion.key not in calls), len(history))


def _route_error_message(completion: Completion) -> str:
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
