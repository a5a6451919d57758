"""Starts, resumes, retries and cancels runs of this machine. The only part of the CLI that executes apps."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from application_sdk.app.base import App
from application_sdk.cli.commands.run_session import Execution, report
from application_sdk.cli.exit_codes import FAILED, SUCCEEDED, of_phase
from application_sdk.cli.inputs import read_input
from application_sdk.cli.output import Format, app_output, notify
from application_sdk.engines.local.errors import RunFinishedError
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.lock import holder
from application_sdk.engines.local.records import TERMINAL_PHASES, RunRecord
from application_sdk.engines.local.retry_run import retry as try_again
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import cancel_without_cleanup, create_checked_run
from application_sdk.engines.local.source import find_source
from application_sdk.engines.processes.source import AppSource

_IN_PROCESS_PARALLELISM = 100


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run of this machine is executed."""

    format: Format = Format.TEXT
    in_process: bool = False
    parallelism: int | None = None
    app: str | None = None
    """The file or module of the app, if it was moved since the run began."""


def run(app: str, input: str, entrypoint: str | None, name: str | None, run_options: RunOptions) -> int:
    """Start a run and execute it until it ends. Returns the exit code."""
    payload = read_input(input, sys.stdin)
    with app_output():
        source = find_source(app, Path.cwd())
    execution = _execution(source, run_options)

    def begin_run(app_class: type[App]) -> str:
        return create_checked_run(_home(), app_class, source, payload, entrypoint, name)

    return execution.of(begin_run)


def resume(run: str, run_options: RunOptions) -> int:
    """Resume a run from its last checkpoint. Returns the exit code."""
    return _resume_or_report(run, run_options)


def retry(run: str, run_options: RunOptions) -> int:
    """Retry a failed or cancelled run from the call that failed. Returns the exit code."""
    record = _record(run)
    source = _source(record, run_options)

    def reopen_run(app_class: type[App]) -> str:
        reopened = try_again(_home().folder(run), *_cleanup_lines(app_class))
        detached = (
            f", {reopened.detached} more completed calls are used if they are made again" if reopened.detached else ""
        )
        count = "1 checkpoint is" if reopened.checkpoints == 1 else f"{reopened.checkpoints} checkpoints are"
        notify(f"{run}: {count} kept{detached}")
        return run

    return _execution(source, run_options).of(reopen_run)


def cancel(run: str, format: Format, *, force: bool) -> int:
    """Cancel a run through the process that executes it, or by executing its clean-up here. Returns the exit code."""
    folder = _home().folder(run)
    record = _record(run)
    if record.phase in TERMINAL_PHASES:
        raise RunFinishedError(
            f"run {run!r} of this machine is over: it is {record.phase}. For one of a cluster give --cluster"
        )
    folder.request_cancel()
    executor = holder(folder.lock)
    if executor is not None:
        notify(f"{run} is told to cancel; process {executor} executes it")
        return SUCCEEDED
    # The route of a stalled run can't clean up: to execute it would only stall it again.
    if not force and record.phase != "Stalled":
        return SUCCEEDED if _resume_or_report(run, RunOptions(format)) == of_phase("Cancelled") else FAILED
    report(cancel_without_cleanup(folder), format)
    return SUCCEEDED


def _resume_or_report(run: str, run_options: RunOptions) -> int:
    record = _record(run)
    if record.phase in TERMINAL_PHASES and record.continued_as is None:
        if record.phase != "Succeeded":
            notify(f"{run} is over", "yellow")
        report(record, run_options.format)
        return of_phase(record.phase)
    return _execution(_source(record, run_options), run_options).of(lambda app_class: run)


def _source(record: RunRecord, run_options: RunOptions) -> AppSource:
    if not run_options.app:
        return AppSource(record.entry, record.directory)
    with app_output():
        return find_source(run_options.app, Path.cwd())


def _execution(source: AppSource, run_options: RunOptions) -> Execution:
    return Execution(_home(), source, _limits(run_options), run_options.format, run_options.in_process)


def _cleanup_lines(app_class: type[App]) -> tuple[range | None, str]:
    """Lines and file of the app's own `on_complete`."""
    if app_class.on_complete is App.on_complete:
        return None, ""
    code = inspect.unwrap(app_class.on_complete).__code__
    lines, first = inspect.getsourcelines(code)
    return range(first, first + len(lines)), code.co_filename


def _record(run: str) -> RunRecord:
    with Ledger.open(_home().folder(run).ledger, read_only=True) as ledger:
        return ledger.run()


def _home() -> RunStore:
    return RunStore.from_environment(os.environ)


def _limits(run_options: RunOptions) -> Limits:
    if run_options.parallelism is not None:
        return Limits(run_options.parallelism)
    return Limits(_IN_PROCESS_PARALLELISM if run_options.in_process else max(4, 2 * (os.cpu_count() or 2)))
