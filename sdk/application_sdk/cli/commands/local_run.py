"""Runs of this machine: begin, go on with, try again and cancel. The only part of the CLI that executes apps."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from application_sdk.app.base import App
from application_sdk.cli.exit_codes import FAILED, SUCCEEDED, of_phase
from application_sdk.cli.inputs import read_input
from application_sdk.cli.output import Format, app_output, say
from application_sdk.cli.run_session import Execution, report
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
class Wish:
    """How a run is to be executed here."""

    format: Format = Format.TEXT
    in_process: bool = False
    parallelism: int | None = None
    app: str | None = None
    """Where the app is now, if it was moved."""


def run(app: str, input: str, entrypoint: str | None, name: str | None, wish: Wish) -> int:
    """Begin a run and execute it to its end. Returns the exit code."""
    payload = read_input(input, sys.stdin)
    with app_output():
        source = find_source(app, Path.cwd())
    execution = _execution(source, wish)

    def begun(app_class: type[App]) -> str:
        return create_checked_run(_home(), app_class, source, payload, entrypoint, name)

    return execution.of(begun)


def resume(run: str, wish: Wish) -> int:
    """Go on with a run from its last checkpoint. Returns the exit code."""
    return _go_on(run, wish)


def retry(run: str, wish: Wish) -> int:
    """Try a failed or cancelled run again, from what failed. Returns the exit code."""
    record = _record(run)
    source = _source(record, wish)

    def reopened(app_class: type[App]) -> str:
        kept = try_again(_home().folder(run), *_cleanup_place(app_class))
        aside = f", {kept.detached} more completed calls are used if they are made again" if kept.detached else ""
        many = "1 checkpoint is" if kept.checkpoints == 1 else f"{kept.checkpoints} checkpoints are"
        say(f"{run}: {many} kept{aside}")
        return run

    return _execution(source, wish).of(reopened)


def cancel(run: str, format: Format, *, force: bool) -> int:
    """Cancel a run: by its executor, or by executing it here to its end. Returns the exit code."""
    folder = _home().folder(run)
    record = _record(run)
    if record.phase in TERMINAL_PHASES:
        raise RunFinishedError(
            f"run {run!r} of this machine is over: it is {record.phase}. For one of a cluster give --cluster"
        )
    folder.request_cancel()
    executor = holder(folder.lock)
    if executor is not None:
        say(f"{run} is told to cancel; process {executor} executes it")
        return SUCCEEDED
    # The route of a stalled run can't clean up: to execute it would only stall it again.
    if not force and record.phase != "Stalled":
        return SUCCEEDED if _go_on(run, Wish(format)) == of_phase("Cancelled") else FAILED
    report(cancel_without_cleanup(folder), format)
    return SUCCEEDED


def _go_on(run: str, wish: Wish) -> int:
    record = _record(run)
    if record.phase in TERMINAL_PHASES and record.continued_as is None:
        if record.phase != "Succeeded":
            say(f"{run} is over", "yellow")
        report(record, wish.format)
        return of_phase(record.phase)
    return _execution(_source(record, wish), wish).of(lambda app_class: run)


def _source(record: RunRecord, wish: Wish) -> AppSource:
    if not wish.app:
        return AppSource(record.entry, record.directory)
    with app_output():
        return find_source(wish.app, Path.cwd())


def _execution(source: AppSource, wish: Wish) -> Execution:
    return Execution(_home(), source, _limits(wish), wish.format, wish.in_process)


def _cleanup_place(app_class: type[App]) -> tuple[range | None, str]:
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


def _limits(wish: Wish) -> Limits:
    if wish.parallelism is not None:
        return Limits(wish.parallelism)
    return Limits(_IN_PROCESS_PARALLELISM if wish.in_process else max(4, 2 * (os.cpu_count() or 2)))
