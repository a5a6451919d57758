"""`apprun list`, `show`, `logs` and `export`: print runs of any source. Reads only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from application_sdk.cli.errors import InputError
from application_sdk.cli.output import (
    Format,
    echo,
    local_time,
    notify,
    write_json,
    write_result,
    write_table,
    write_value,
)
from application_sdk.cli.selection import cluster, source_of, source_of_all
from application_sdk.cli.sources.protocol import LogLine, LogQuery, RunSource
from application_sdk.cli.sources.records import Run, RunDetails
from application_sdk.cli.target import Target
from application_sdk.cli.views import call_tree, pools
from application_sdk.cli.views.json_output import details_as_json, run_as_json
from application_sdk.cli.views.log_lines import print_log_line
from application_sdk.engines.local.render import duration, one_line

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSON


def list_runs(target: Target, app: str | None, limit: int, format: Format, *, everywhere: bool = False) -> None:
    """Print runs, the newest first."""
    source = _all_of(target) if everywhere else source_of_all(target)
    runs = sorted(source.runs(app, _warn), key=lambda run: run.created_at, reverse=True)[:limit]
    if format.for_programs:
        write_result([run_as_json(run) for run in runs], format)
        return
    if format is Format.NAME:
        for run in runs:
            echo(run.name)
        return
    if not runs:
        notify(_no_runs(source, app))
        return
    now = time.time()
    columns = _columns(runs, now, everywhere=everywhere, wide=format is Format.WIDE)
    write_table([name for name, _ in columns], zip(*(cells for _, cells in columns), strict=True), call_tree.STYLES)


def show_run(target: Target, run: str, format: Format, *, every: bool = False) -> None:
    """Print a run with its calls."""
    source, name = source_of(target, run)
    details = source.details(name)
    if format.for_programs:
        write_result(details_as_json(details), format)
    elif format is Format.NAME:
        echo(details.run.name)
    else:
        print_details(details, source, every=every or format is Format.WIDE)


def print_details(details: RunDetails, source: RunSource, *, every: bool = False) -> None:
    """A run's head and its tree of calls."""
    for line, style in head(details.run, source.title):
        echo(line, style)
    rows = call_tree.rows(details, time.time(), every=every)
    if rows:
        echo()
        used = [column for column in range(len(call_tree.HEADINGS)) if any(row.cells()[column] for row in rows)]
        write_table(
            [call_tree.HEADINGS[column] for column in used],
            [[row.cells()[column] for column in used] for row in rows],
            call_tree.STYLES,
        )
    if details.pools:
        echo()
        write_table(pools.HEADINGS, pools.rows(details.pools))


def head(run: Run, title: str) -> list[tuple[str, str]]:
    """What is to be said of a run as a whole: lines with their styles."""
    spent = f" after {duration(run.finished_at - (run.started_at or run.created_at))}" if run.finished_at else ""
    at = f" in {run.directory}" if run.directory else ""
    entrypoint = f", entry point {run.entrypoint}" if run.entrypoint else ""
    lines = [
        ("app", f"{run.app} ({run.entry}{at}){entrypoint}" if run.entry else run.app),
        ("on", title),
        ("started", local_time(run.started_at or run.created_at)),
        ("input", one_line(run.input, 500)),
    ]
    if run.output is not None:
        lines.append(("output", one_line(run.output, 500)))
    if run.error is not None:
        lines.append(("error", f"{run.error['type']}: {run.error['message']}"))
    elif run.message and not (run.phase == "Succeeded" and run.message == run.reason):
        lines.append(("message", run.message))
    if run.continued_from is not None:
        lines.append(("continues", run.continued_from))
    if run.continued_as is not None:
        lines.append(("continued as", run.continued_as))
    if run.phase == "Interrupted" or (run.phase == "Stalled" and not run.namespace):
        lines.append(("go on with", f"apprun resume {run.name}"))
    elif run.phase in ("Failed", "Stalled"):
        lines.append(("why", f"apprun describe {run.name}"))
    style = call_tree.STYLES.get(run.phase, "")
    return [(f"{run.name}  {run.phase}{spent}", f"bold {style}".strip())] + [
        (f"{name:<12}  {text}", "") for name, text in lines
    ]


def print_logs(target: Target, query: LogQuery, format: Format) -> None:
    """Print what the tasks of a run have written."""
    source, name = source_of(target, query.run)
    query = replace(query, run=name)
    _check_task(source, query)
    lines = source.logs(query, _notify_dim)
    if format is not Format.JSON:
        _print_lines(lines, format)
    elif query.follow:
        for line in lines:
            write_json(_line_as_json(line))
    else:
        write_json(_by_attempt(lines))


def export(target: Target, run: str, to: Path | None) -> None:
    """Write a run's past as one document."""
    source, name = source_of(target, run)
    document = source.export(name).to_json()
    if to is None:
        write_value(document)
        return
    try:
        to.write_text(f"{json.dumps(document, indent=2)}\n", "utf-8")
    except OSError as error:
        raise InputError(f"{to}: {error.strerror or error}") from error


def _all_of(target: Target) -> RunSource:
    if target.cluster is False:
        raise InputError("--all-namespaces means a cluster's runs, and --local this machine's: leave one of them out")
    source = cluster(target)
    return type(source)(source.api, everywhere=True)


def _columns(runs: list[Run], now: float, *, everywhere: bool, wide: bool) -> list[tuple[str, list[str]]]:
    columns: list[tuple[str, list[str]]] = [("RUN", [run.name for run in runs])]
    if everywhere:
        columns.insert(0, ("NAMESPACE", [run.namespace for run in runs]))
    columns += [
        ("PHASE", [run.phase for run in runs]),
        ("APP", [run.app for run in runs]),
        ("DONE", [_progress(run) for run in runs]),
        ("STARTED", [local_time(run.started_at or run.created_at) for run in runs]),
        ("TOOK", [_took(run, now) for run in runs]),
    ]
    if wide:
        columns += [
            ("ENTRY POINT", [run.entrypoint or "(default)" for run in runs]),
            ("FAILED", [str(run.failed or 0) for run in runs]),
            ("REASON", [_reason(run) for run in runs]),
        ]
    return columns


def _progress(run: Run) -> str:
    return "-" if run.calls is None else f"{run.done or 0}/{run.calls}"


def _took(run: Run, now: float) -> str:
    begun = run.started_at or run.created_at
    if run.finished_at:
        return duration(run.finished_at - begun)
    return "-" if run.phase in ("Interrupted", "Pending") else duration(max(now - begun, 0))


def _reason(run: Run) -> str:
    if run.error is not None:
        return f"{run.error['type']}: {run.error['message']}".partition("\n")[0]
    return run.message or (run.reason if run.reason != run.phase else "")


def _no_runs(source: RunSource, app: str | None) -> str:
    of = f" of app {app!r}" if app else ""
    if source.is_local:
        return f"no runs{of} on this machine; begin one with `apprun run APP`, or look at a cluster's with --cluster"
    return f"no runs{of} on {source.title}; begin one with `apprun submit APP`"


def _check_task(source: RunSource, query: LogQuery) -> None:
    if not query.task or not source.is_local:
        return
    tasks = {call.task for call in source.details(query.run).calls}
    if query.task not in tasks and not query.follow:
        names = ", ".join(sorted(tasks)) or "none"
        raise InputError(f"run {query.run!r} has called no task {query.task!r}; it has called {names}")


def _print_lines(lines: Iterable[LogLine], format: Format) -> None:
    for line in lines:
        print_log_line(line, sys.stdout, wide=format is Format.WIDE)


def _line_as_json(line: LogLine) -> dict[str, JSON]:
    return {
        "task": line.task,
        "key": line.key,
        "attempt": line.attempt,
        "node": line.node,
        "at": line.at,
        "text": line.text,
    }


def _by_attempt(lines: Iterable[LogLine]) -> list[dict[str, JSON]]:
    attempts: dict[tuple[str, int], tuple[LogLine, list[str]]] = {}
    for line in lines:
        attempts.setdefault((line.key, line.attempt), (line, []))[1].append(line.text)
    return [
        {**_line_as_json(first), "text": "".join(f"{text}\n" for text in texts)} for first, texts in attempts.values()
    ]


def _warn(text: str) -> None:
    notify(text, "yellow")


def _notify_dim(text: str) -> None:
    notify(text, "dim")
