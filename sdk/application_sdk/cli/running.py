"""`apprun run`, `resume`, `retry` and `cancel`."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from application_sdk.app.base import App
from application_sdk.cli import options
from application_sdk.cli.executing import Execution, report
from application_sdk.cli.exits import of_phase
from application_sdk.cli.inputs import read_input
from application_sdk.cli.output import Format, notes
from application_sdk.contracts.codec import decode
from application_sdk.engines.local.errors import RunFinishedError
from application_sdk.engines.local.home import new_run_name
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.lock import holder
from application_sdk.engines.local.records import TERMINAL_PHASES, RunRecord
from application_sdk.engines.local.retrying import retry as try_again
from application_sdk.engines.local.runs import Order, begin, cancel_without_cleanup
from application_sdk.engines.local.source import AppSource, find_source

_IN_PROCESS_PARALLELISM = 100


def run(
    app: options.AppTarget,
    input: Annotated[
        str,
        typer.Option("--input", "-i", metavar="JSON|@FILE|@-", help="The input: JSON, or a file with JSON or YAML."),
    ] = "{}",
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", "-e", help="The entry point, if the app has several.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name of the run. Made up if not given.")] = None,
    in_process: options.InProcess = False,
    parallelism: options.Parallelism = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Run an app on this machine, and wait for its end.

    Each completed task is recorded on the disk. Whatever interrupts the run, [bold]apprun resume[/] goes on from there.
    """
    payload = read_input(input, sys.stdin)
    source = find_source(app, Path.cwd())
    execution = Execution(options.home(), source, _limits(parallelism, in_process=in_process), output, in_process)

    def begun(app_class: type[App]) -> str:
        chosen = app_class.definition.entrypoint(entrypoint)
        # Also checked when the route begins. Here it costs no run.
        decode(chosen.input_type, payload)
        run_name = name or new_run_name(app_class.definition.name)
        begin(options.home(), run_name, Order(source, app_class.definition.name, chosen.name, payload))
        return run_name

    raise typer.Exit(execution.of(begun))


def resume(
    run: options.RunName,
    app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Where the app is now, if it was moved.")
    ] = None,
    in_process: options.InProcess = False,
    parallelism: options.Parallelism = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Go on with a run that was interrupted or is stalled, from its last checkpoint."""
    raise typer.Exit(_go_on(run, app, parallelism, output, in_process=in_process))


def retry(
    run: options.RunName,
    app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Where the app is now, if it was moved.")
    ] = None,
    in_process: options.InProcess = False,
    parallelism: options.Parallelism = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Try a failed or cancelled run again, from what failed: all that was completed before is kept.

    Correct the code first, if that was the cause. The ledger with the failure stays in the run's folder.
    """
    record = _record(run)
    source = find_source(app, Path.cwd()) if app else AppSource(record.entry, record.directory)
    execution = Execution(options.home(), source, _limits(parallelism, in_process=in_process), output, in_process)

    def reopened(app_class: type[App]) -> str:
        kept = try_again(options.home().folder(run), *_cleanup_place(app_class))
        aside = f", {kept.spared} more completed calls are used if they are made again" if kept.spared else ""
        notes().print(f"{run}: {kept.checkpoints} checkpoints are kept{aside}", markup=False)
        return run

    raise typer.Exit(execution.of(reopened))


def cancel(
    run: options.RunName,
    force: Annotated[
        bool, typer.Option("--force", help="Without the app's own clean-up, for an app that can't be loaded any more.")
    ] = False,
    output: options.Output = Format.TEXT,
) -> None:
    """Cancel a run. Its route and its tasks get a CancelledError and may clean up.

    A run that is being executed is told so, and ends in its own time; one that isn't is executed here until it ends.
    """
    folder = options.home().folder(run)
    record = _record(run)
    if record.phase in TERMINAL_PHASES:
        raise RunFinishedError(f"run {run!r} is over: it is {record.phase}")
    folder.cancel_request.touch()
    executor = holder(folder.lock)
    if executor is not None:
        notes().print(f"{run} is told to cancel; process {executor} executes it", markup=False)
        return
    if not force:
        raise typer.Exit(0 if _go_on(run, None, None, output, in_process=False) == of_phase("Cancelled") else 1)
    report(cancel_without_cleanup(folder), output)


def _go_on(run: str, app: str | None, parallelism: int | None, output: Format, *, in_process: bool) -> int:
    record = _record(run)
    if record.phase in TERMINAL_PHASES and record.continued_as is None:
        if record.phase != "Succeeded":
            notes().print(f"{run} is over", style="yellow", markup=False)
        report(record, output)
        return of_phase(record.phase)
    source = find_source(app, Path.cwd()) if app else AppSource(record.entry, record.directory)
    execution = Execution(options.home(), source, _limits(parallelism, in_process=in_process), output, in_process)
    return execution.of(lambda app_class: run)


def _cleanup_place(app_class: type[App]) -> tuple[range | None, str]:
    """Lines and file of the app's own `on_complete`."""
    if app_class.on_complete is App.on_complete:
        return None, ""
    code = inspect.unwrap(app_class.on_complete).__code__
    lines, first = inspect.getsourcelines(code)
    return range(first, first + len(lines)), code.co_filename


def _record(run: str) -> RunRecord:
    with options.reading(run) as ledger:
        return ledger.run()


def _limits(parallelism: int | None, *, in_process: bool) -> Limits:
    if parallelism is not None:
        return Limits(parallelism)
    return Limits(_IN_PROCESS_PARALLELISM if in_process else max(4, 2 * (os.cpu_count() or 2)))
