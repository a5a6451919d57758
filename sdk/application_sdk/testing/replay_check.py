"""`replay`: today's code against the ledger of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from application_sdk.app import App
from application_sdk.errors import AppError
from application_sdk.replay.divergence import input_changes
from application_sdk.replay.history import ExportedRun, LedgerFormatError, Replayed, replay_run


class ReplayError(AppError, AssertionError):
    """Today's code doesn't repeat a run. The message says where it departs from it."""


def replay(app: type[App], ledger: ExportedRun | Mapping[str, object] | str | PathLike[str]) -> Replayed:
    """Replay the exported ledger of a run (`apprun export RUN`) against an app; nothing is executed.

    Args:
        app: The app's class, with today's code.
        ledger: Path of the exported file, its content, or `exported` of what `run_app` returned.

    Returns:
        What the code would do next, for a run that hasn't ended.

    Raises:
        ReplayError: A driver with this code would stall, or a run that has ended would continue or end otherwise.
        LedgerFormatError: The file is no ledger of this app.
    """
    exported = _read(ledger)
    replayed = replay_run(app, exported)
    problem = _problem(exported, replayed)
    if problem is not None:
        raise ReplayError(f"{app.__name__} doesn't repeat run {exported.info.run_id}.\n{problem}")
    return replayed


def _read(ledger: ExportedRun | Mapping[str, object] | str | PathLike[str]) -> ExportedRun:
    if isinstance(ledger, ExportedRun):
        return ledger
    if isinstance(ledger, Mapping):
        return ExportedRun.from_json(ledger)
    try:
        return ExportedRun.from_json(json.loads(Path(ledger).read_text(encoding="utf-8")))
    except ValueError as error:
        if isinstance(error, LedgerFormatError):
            raise
        raise LedgerFormatError(f"{ledger} is no JSON: {error}") from error


def _problem(exported: ExportedRun, replayed: Replayed) -> str | None:
    result = replayed.result
    if result is not None and result.outcome == "Stalled":
        return result.error["message"] if result.error is not None else "it stalled"
    if exported.outcome is None:
        return None
    if result is None:
        listed = ", ".join(f"{call.task}() at {call.line}" for call in replayed.further_calls) or "nothing"
        return f"The run had ended as {exported.outcome}, this code would go on with {listed}."
    if result.outcome != exported.outcome:
        error = f": {result.error['type']}: {result.error['message']}" if result.error is not None else ""
        return f"The run had ended as {exported.outcome}, this code ends as {result.outcome}{error}"
    changes = input_changes(exported.output or {}, result.output or {})
    if changes:
        return "The output differs, ledger → this code:\n" + "\n".join(f"  {change}" for change in changes)
    return None
