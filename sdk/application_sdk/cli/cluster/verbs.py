"""What cluster verbs print and how they exit. The doing is in `acting` and `deploying`."""

from __future__ import annotations

import sys

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster.errors import TakenError
from application_sdk.cli.cluster.source import ClusterPlace
from application_sdk.cli.cluster.submit import Order, change, follow_to_end, manifest, submit, wait
from application_sdk.cli.commands.list_show import print_line
from application_sdk.cli.output import Format, say, show, write_result, write_value
from application_sdk.cli.sources.records import Run
from application_sdk.cli.views.json_output import run_as_json
from application_sdk.engines.local.render import duration


def submit_run(
    place: ClusterPlace,
    order: Order,
    format: Format,
    *,
    waits: bool,
    follows: bool,
    dry_run: bool = False,
    timeout: float | None = None,
) -> int:
    """Submit a run; wait for its end, if that is wanted. Returns the exit code: the run's outcome."""
    run = submit(place, order, dry_run=dry_run)
    if dry_run:
        say(f"{run.name} would be created on {place.title} (dry run)", "yellow")
        write_result(manifest(order, run.name), Format.YAML if format is Format.TEXT else format)
        return exit_codes.SUCCEEDED
    if not (waits or follows):
        _tell_submitted(run, place, format)
        return exit_codes.SUCCEEDED
    if format is Format.NAME:
        show(run.name)
    say(f"{run.name} submitted to {place.title}", "dim")
    try:
        if follows:
            ended = follow_to_end(place, run.name, timeout, lambda line: print_line(line, sys.stderr), _dim)
        else:
            ended = wait(place, run.name, timeout, _dim)
    except KeyboardInterrupt:
        say(f"{run.name} goes on; `apprun cancel {run.name}` ends it", "yellow")
        return exit_codes.INTERRUPTED
    return tell_end(ended, format)


def tell_end(run: Run, format: Format) -> int:
    """Say how a run ended. Returns the exit code."""
    if format.for_programs:
        write_result(run_as_json(run), format)
        return exit_codes.of_phase(run.phase)
    spent = f" after {duration(run.finished_at - (run.started_at or run.created_at))}" if run.finished_at else ""
    if run.phase == "Succeeded":
        say(f"{run.name} succeeded{spent}", "green")
        if format is not Format.NAME:
            write_value(run.output)
        return exit_codes.SUCCEEDED
    words = {"Failed": "failed", "Cancelled": "was cancelled", "Stalled": "is stalled"}
    say(f"{run.name} {words.get(run.phase, run.phase)}{spent}", "red")
    if run.error is not None:
        say(f"{run.error['type']}: {run.error['message']}")
    elif run.message:
        say(run.message)
    say(f"`apprun describe {run.name}` says why, and what to do", "dim")
    return exit_codes.of_phase(run.phase)


def cancel_run(place: ClusterPlace, run: str, format: Format, *, waits: bool, timeout: float | None) -> int:
    """Cancel a run; its route may clean up."""
    _refuse_over(place, run, "be cancelled")
    cancelled = change(place, run, {"cancel": True})
    if waits:
        ended = wait(place, run, timeout, _dim)
        code = tell_end(ended, format)
        return exit_codes.SUCCEEDED if ended.phase == "Cancelled" else code
    return _changed(cancelled, format, f"{run} is told to cancel; `apprun watch {run}` shows how it cleans up")


def suspend_run(place: ClusterPlace, run: str, format: Format) -> int:
    """Start no further pods of a run."""
    _refuse_over(place, run, "be suspended")
    suspended = change(place, run, {"suspend": True})
    return _changed(
        suspended, format, f"{run} starts no further pods; those at work finish. Go on with `apprun resume {run}`"
    )


def resume_run(place: ClusterPlace, run: str, format: Format) -> int:
    """Let a suspended run go on."""
    found = place.details(run).run
    if found.phase == "Stalled":
        raise TakenError(
            f"run {run!r} is stalled: {found.message or found.reason}. It goes on by itself once that is corrected;"
            f" `apprun describe {run}` says how"
        )
    _refuse_over(place, run, "be resumed")
    return _changed(change(place, run, {"suspend": False}), format, f"{run} goes on")


def _refuse_over(place: ClusterPlace, run: str, what: str) -> None:
    found = place.details(run).run
    if found.finished:
        raise TakenError(f"run {run!r} is over, it is {found.phase}, and can't {what}")


def _changed(run: Run, format: Format, text: str) -> int:
    if format.for_programs:
        write_result(run_as_json(run), format)
    elif format is Format.NAME:
        show(run.name)
    else:
        say(text)
    return exit_codes.SUCCEEDED


def _tell_submitted(run: Run, place: ClusterPlace, format: Format) -> None:
    if format.for_programs:
        write_result(run_as_json(run), format)
        return
    show(run.name)
    if format is not Format.NAME:
        say(f"submitted to {place.title}; `apprun watch {run.name}`, `apprun logs -f {run.name}`", "dim")


def _dim(text: str) -> None:
    say(text, "dim")
