"""`apprun describe`: why a run waits or fails, or what an App's pods are doing, in sentences with cause and remedy."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from dataclasses import asdict
from typing import Final

from application_sdk.cli.commands.list_show import head
from application_sdk.cli.errors import InputError
from application_sdk.cli.output import Format, echo, write_result
from application_sdk.cli.selection import cluster, source_of
from application_sdk.cli.target import Target
from application_sdk.cli.views.app_diagnosis import explain_app
from application_sdk.cli.views.diagnosis import Finding, explain
from application_sdk.cli.views.json_output import app_as_json, run_as_json

_WIDTH: Final = 120
_MARKS: Final = {"problem": ("✗", "red"), "waiting": ("…", "yellow"), "fine": ("·", "green")}


APP_PREFIXES: Final = ("app/", "apps/")
"""What tells an App's name from a run's, as kubectl does."""


def describe(target: Target, name: str, format: Format) -> None:
    """Print what there is to say about a run, or about an App if `name` is `app/NAME`."""
    kind, slash, app = name.partition("/")
    if f"{kind}{slash}" in APP_PREFIXES:
        describe_app(target, app, format)
    else:
        describe_run(target, name, format)


def describe_app(target: Target, name: str, format: Format) -> None:
    """Print whether an App is ready, and what its warm pods are doing."""
    if target.cluster is False:
        raise InputError("an App is an object of a cluster: leave out --local")
    source = cluster(target)
    app = source.app(name)
    findings = explain_app(app)
    if format.for_programs:
        write_result({**app_as_json(app), "findings": [asdict(finding) for finding in findings]}, format)
        return
    echo(app.name, "bold")
    for label, text in (("entry", app.entry), ("image", app.image), ("on", source.title)):
        if text:
            echo(f"{label:<12}  {text}")
    for finding in findings:
        echo()
        _print(finding)


def describe_run(target: Target, run: str, format: Format) -> None:
    """Print what there is to say about a run."""
    source, name = source_of(target, run)
    details = source.details(name)
    findings = explain(details, time.time(), local=source.is_local)
    if format.for_programs:
        write_result({**run_as_json(details.run), "findings": [asdict(finding) for finding in findings]}, format)
        return
    for line, style in head(details.run, source.title):
        if not line.startswith(("error ", "message ", "why ", "go on with ")):
            echo(line, style)
    for finding in findings:
        echo()
        _print(finding)


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.weight]
    _paragraph(f"{mark} ", finding.what, f"bold {style}" if finding.weight == "problem" else style)
    if finding.cause:
        _paragraph("  ", finding.cause)
    if finding.remedy:
        _paragraph("  → ", finding.remedy)
    if finding.details:
        echo()
        for line in finding.details.rstrip().splitlines():
            echo(f"    {line}", "dim")


def _paragraph(mark: str, text: str, style: str = "") -> None:
    width = min(shutil.get_terminal_size().columns, _WIDTH) if sys.stdout.isatty() else _WIDTH
    for number, line in enumerate(text.splitlines() or [""]):
        first = mark if number == 0 else " " * len(mark)
        wrapped = textwrap.wrap(
            line, width, initial_indent=first, subsequent_indent=" " * len(mark), break_on_hyphens=False,
            break_long_words=False,
        )  # fmt: skip
        for part in wrapped or [""]:
            echo(part, style)
