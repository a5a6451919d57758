"""`apprun runs`, `show`, `logs` and `export`: what the ledgers of this machine hold. Reads only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from application_sdk.cli import options
from application_sdk.cli.describe import RunDetailsJSON, call_as_json, phase_of, run_as_json
from application_sdk.cli.errors import InputError
from application_sdk.cli.output import (
    Format,
    local_time,
    notes,
    results,
    timestamp,
    write_json,
    write_table,
    write_value,
)
from application_sdk.engines.local.errors import LedgerError
from application_sdk.engines.local.exporting import export_run
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.lock import holder
from application_sdk.engines.local.records import AttemptRecord, CallRecord, CommittedCall, RunRecord
from application_sdk.engines.local.words import duration, one_line, progress_text
from application_sdk.execution.engine import CANCEL_KEY


def runs(
    app: Annotated[str | None, typer.Option("--app", help="Only runs of the app with this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="How many, the newest first.")] = 50,
    output: options.Output = Format.TEXT,
) -> None:
    """List the runs of this machine, newest first."""
    found = sorted(_all_runs(app), key=lambda item: item[0].created_at, reverse=True)[:limit]
    if output is Format.JSON:
        write_json([run_as_json(run, alive=alive) for run, alive in found])
        return
    if not found:
        notes().print("no runs yet; begin one with `apprun run APP`", markup=False)
        return
    now = time.time()
    write_table(
        ("RUN", "PHASE", "APP", "STARTED", "TOOK"),
        [
            (
                run.name,
                phase_of(run, alive=alive),
                run.app,
                local_time(run.created_at),
                duration(run.finished_at - run.created_at)
                if run.finished_at
                else (duration(now - run.created_at) if alive else "-"),
            )
            for run, alive in found
        ],
    )


def show(run: options.RunName, output: options.Output = Format.TEXT) -> None:
    """Show a run: its state, its checkpoints, what is under way and every attempt that failed."""
    with options.reading(run) as ledger:
        record, calls, committed, attempts = ledger.run(), ledger.calls(), ledger.committed(), ledger.attempts()
    alive = holder(options.home().folder(run).lock) is not None
    if output is Format.JSON:
        write_json(_details(record, calls, committed, attempts, alive=alive))
        return
    _print_head(record, alive=alive)
    _print_calls(calls, committed, attempts)
    _print_failures(calls, attempts)


def logs(
    run: options.RunName,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only this task's.")] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Only this attempt's.")] = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Print what the tasks of a run have printed and logged, attempt by attempt."""
    folder = options.home().folder(run)
    with options.reading(run) as ledger:
        tasks = {record.call.key: record.call.task for record in ledger.calls()}
        attempts = ledger.attempts()
    if task is not None and task not in tasks.values():
        known = ", ".join(sorted(set(tasks.values()))) or "none"
        raise InputError(f"run {run!r} has called no task {task!r}; it has called {known}")
    found = [
        (tasks[one.key], one, _text(folder.log(tasks[one.key], one.key, one.attempt)))
        for one in attempts
        if task in (None, tasks[one.key]) and attempt in (None, one.attempt)
    ]
    if output is Format.JSON:
        write_json(
            [
                {
                    "task": name,
                    "key": one.key,
                    "attempt": one.attempt,
                    "startedAt": timestamp(one.started_at),
                    "text": text,
                }
                for name, one, text in found
                if text is not None
            ]
        )
        return
    if not any(text for _, _, text in found):
        notes().print("nothing was printed; with --in-process it goes to the terminal", style="dim", markup=False)
    for name, one, text in found:
        for line in (text or "").splitlines():
            sys.stdout.write(f"{name}/{one.key[:8]}/{one.attempt}  {line}\n")


def export(
    run: options.RunName,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to; standard output if not given.")
    ] = None,
) -> None:
    """Write a run's ledger as one JSON document, for [bold]apprun check --replay[/] and for tests."""
    with options.reading(run) as ledger:
        document = export_run(ledger).to_json()
    if to is None:
        write_value(document)
        return
    try:
        to.write_text(f"{json.dumps(document, indent=2)}\n", "utf-8")
    except OSError as error:
        raise InputError(f"{to}: {error.strerror or error}") from error


def _all_runs(app: str | None) -> list[tuple[RunRecord, bool]]:
    home = options.home()
    found: list[tuple[RunRecord, bool]] = []
    for name in home.runs():
        folder = home.folder(name)
        try:
            with Ledger.open(folder.ledger, read_only=True) as ledger:
                run = ledger.run()
        except LedgerError as error:
            # One damaged run mustn't hide the others.
            notes().print(f"left out: {error}", style="yellow", markup=False)
            continue
        if app is None or run.app == app:
            found.append((run, holder(folder.lock) is not None))
    return found


def _details(
    run: RunRecord,
    calls: Sequence[CallRecord],
    committed: Sequence[CommittedCall],
    attempts: Sequence[AttemptRecord],
    *,
    alive: bool,
) -> RunDetailsJSON:
    done = {entry.key: entry for entry in committed}
    return RunDetailsJSON(
        **run_as_json(run, alive=alive),
        calls=[
            call_as_json(call, done.get(call.call.key), [one for one in attempts if one.key == call.call.key])
            for call in calls
        ],
    )


def _print_head(run: RunRecord, *, alive: bool) -> None:
    console = results()
    phase = phase_of(run, alive=alive)
    spent = f" after {duration(run.finished_at - run.created_at)}" if run.finished_at else ""
    console.print(f"{run.name}  {phase}{spent}", style="bold", markup=False)
    lines = [
        ("app", f"{run.app} ({run.entry} in {run.directory}), entry point {run.entrypoint}"),
        ("started", local_time(run.created_at)),
        ("input", one_line(run.input, 500)),
    ]
    if run.output is not None:
        lines.append(("output", one_line(run.output, 500)))
    if run.error is not None:
        lines.append(("error", f"{run.error['type']}: {run.error['message']}"))
    if run.continued_from is not None:
        lines.append(("continues", run.continued_from))
    if run.continued_as is not None:
        lines.append(("continued as", run.continued_as))
    if phase in ("Interrupted", "Stalled"):
        lines.append(("go on with", f"apprun resume {run.name}"))
    for name, text in lines:
        console.print(f"{name:<12}  {text}", markup=False)


def _print_calls(
    calls: Sequence[CallRecord], committed: Sequence[CommittedCall], attempts: Sequence[AttemptRecord]
) -> None:
    if not calls and not committed:
        return
    by_key = {record.call.key: record for record in calls}
    done = {entry.key for entry in committed}
    rows: list[tuple[str, ...]] = [
        (
            str(entry.sequence),
            "(cancellation)" if entry.key == CANCEL_KEY else entry.task,
            entry.outcome,
            str(entry.attempts),
            _took(by_key.get(entry.key), entry.at, attempts),
            one_line(entry.payload, 80),
        )
        for entry in committed
    ]
    for record in calls:
        if record.call.key not in done:
            tries = [one for one in attempts if one.key == record.call.key]
            progress = progress_text(record.progress) if record.progress else ""
            rows.append(("", record.call.task, "-", str(len(tries)), "", progress or f"called at {record.call.line}"))
    results().print()
    write_table(("#", "TASK", "OUTCOME", "ATTEMPTS", "TOOK", "RESULT"), rows)


def _took(call: CallRecord | None, at: float, attempts: Sequence[AttemptRecord]) -> str:
    if call is None:
        return ""
    begun = [one.started_at for one in attempts if one.key == call.call.key]
    return duration(at - (begun[-1] if begun else call.scheduled_at))


def _print_failures(calls: Sequence[CallRecord], attempts: Sequence[AttemptRecord]) -> None:
    tasks = {record.call.key: record.call.task for record in calls}
    rows = [
        (tasks[one.key], str(one.attempt), one.reason or "-", one.budget or "-", one.message.partition("\n")[0])
        for one in attempts
        if one.reason not in (None, "Completed")
    ]
    if rows:
        results().print()
        write_table(("ENDED ATTEMPT", "#", "REASON", "CHARGED TO", "MESSAGE"), rows)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None
