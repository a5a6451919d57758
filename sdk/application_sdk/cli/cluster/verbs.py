"""Prints the results of the verbs that change runs of a cluster. `submit` and `deploy` make the changes."""

from __future__ import annotations

import sys

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster.errors import TakenError
from application_sdk.cli.cluster.source import ClusterSource
from application_sdk.cli.cluster.submit import RunRequest, change, follow_to_end, manifest, submit, wait
from application_sdk.cli.output import Format, echo, notify, write_result, write_value
from application_sdk.cli.sources.records import Run
from application_sdk.cli.views.json_output import run_as_json
from application_sdk.cli.views.log_lines import print_log_line
from application_sdk.engines.local.render import duration


def submit_run(
    source: ClusterSource,
    request: RunRequest,
    format: Format,
    *,
    waits: bool,
    follows: bool,
    dry_run: bool = False,
    timeout: float | None = None,
) -> int:
    """Submit a run; wait for its end, if that is wanted. Returns the exit code: the run's outcome."""
    run = submit(source, request, dry_run=dry_run)
    if dry_run:
        notify(f"{run.name} would be created on {source.title} (dry run)", "yellow")
        write_result(manifest(request, run.name), Format.YAML if format is Format.TEXT else format)
        return exit_codes.SUCCEEDED
    if not (waits or follows):
        _report_submitted(run, source, format)
        return exit_codes.SUCCEEDED
    if format is Format.NAME:
        echo(run.name)
    notify(f"{run.name} submitted to {source.title}", "dim")
    try:
        if follows:
            ended = follow_to_end(source, run.name, timeout, lambda line: print_log_line(line, sys.stderr), _dim)
        else:
            ended = wait(source, run.name, timeout, _dim)
    except KeyboardInterrupt:
        notify(f"{run.name} goes on; `apprun cancel {run.name}` ends it", "yellow")
        return exit_codes.INTERRUPTED
    return report_end(ended, format)


def report_end(run: Run, format: Format) -> int:
    """Say how a run ended. Returns the exit code."""
    if format.for_programs:
        write_result(run_as_json(run), format)
        return exit_codes.of_phase(run.phase)
    spent = f" after {duration(run.finished_at - (run.started_at or run.created_at))}" if run.finished_at else ""
    if run.phase == "Succeeded":
        notify(f"{run.name} succeeded{spent}", "green")
        if format is not Format.NAME:
            write_value(run.output)
        return exit_codes.SUCCEEDED
    words = {"Failed": "failed", "Cancelled": "was cancelled", "Stalled": "is stalled"}
    notify(f"{run.name} {words.get(run.phase, run.phase)}{spent}", "red")
    if run.error is not None:
        notify(f"{run.error['type']}: {run.error['message']}")
    elif run.message:
        notify(run.message)
    notify(f"`apprun describe {run.name}` says why, and what to do", "dim")
    return exit_codes.of_phase(run.phase)


def cancel_run(source: ClusterSource, run: str, format: Format, *, waits: bool, timeout: float | None) -> int:
    """Cancel a run; its route may clean up."""
    _refuse_over(source, run, "be cancelled")
    cancelled = change(source, run, {"cancel": True})
    if waits:
        ended = wait(source, run, timeout, _dim)
        code = report_end(ended, format)
        return exit_codes.SUCCEEDED if ended.phase == "Cancelled" else code
    return _changed(cancelled, format, f"{run} is told to cancel; `apprun watch {run}` shows how it cleans up")


def suspend_run(source: ClusterSource, run: str, format: Format) -> int:
    """Start no further pods of a run."""
    _refuse_over(source, run, "be suspended")
    suspended = change(source, run, {"suspend": True})
    return _changed(
        suspended, format, f"{run} starts no further pods; those at work finish. Go on with `apprun resume {run}`"
    )


def resume_run(source: ClusterSource, run: str, format: Format) -> int:
    """Let a suspended run go on."""
    details = source.details(run).run
    if details.phase == "Stalled":
        raise TakenError(
            f"run {run!r} is stalled: {details.message or details.reason}. It goes on by itself once that is corrected;"
            f" `apprun describe {run}` says how"
        )
    _refuse_over(source, run, "be resumed")
    return _changed(change(source, run, {"suspend": False}), format, f"{run} goes on")


def _refuse_over(source: ClusterSource, run: str, what: str) -> None:
    details = source.details(run).run
    if details.finished:
        raise TakenError(f"run {run!r} is over, it is {details.phase}, and can't {what}")


def _changed(run: Run, format: Format, text: str) -> int:
    if format.for_programs:
        write_result(run_as_json(run), format)
    elif format is Format.NAME:
        echo(run.name)
    else:
        notify(text)
    return exit_codes.SUCCEEDED


def _report_submitted(run: Run, source: ClusterSource, format: Format) -> None:
    if format.for_programs:
        write_result(run_as_json(run), format)
        return
    echo(run.name)
    if format is not Format.NAME:
        notify(f"submitted to {source.title}; `apprun watch {run.name}`, `apprun logs -f {run.name}`", "dim")


def _dim(text: str) -> None:
    notify(text, "dim")
