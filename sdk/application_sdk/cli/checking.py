"""`apprun check` and `apprun manifest`: what an app consists of, without executing any of it."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from application_sdk.app.manifest import incompatibilities, manifest_of
from application_sdk.cli import options
from application_sdk.cli.errors import InputError
from application_sdk.cli.exits import FAILED
from application_sdk.cli.manifest import read_manifest
from application_sdk.cli.output import Format, notes, results, write_json, write_value
from application_sdk.engines.local.source import find_source
from application_sdk.wire.digest import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from application_sdk.app.base import App
    from application_sdk.execution.definition import TaskDefinition


def check(
    app: options.AppTarget,
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            "--replay", metavar="LEDGER.json", help="Also replay an exported run; may be given several times."
        ),
    ] = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Import an app, check all of it, and print its entry points and tasks with their contracts.

    With [bold]--replay[/] it is also checked that the app still repeats a run that [bold]apprun export[/] has written,
    so that runs in flight can go on with it. No task is executed; exit 1 if it doesn't.
    """
    app_class = _load(app)
    if replay:
        _check_replays(app_class, app, replay, output)
        return
    definition = app_class.definition
    if output is Format.JSON:
        write_json({**manifest_of(definition), "ok": True})
        return
    console = results()
    console.print(f"{definition.name} {definition.version}  {definition.entry}", style="bold", markup=False)
    console.print(f"{definition.line}", style="dim", markup=False)
    for name, entrypoint in sorted(definition.entrypoints.items()):
        default = " (default)" if name == definition.default_entrypoint and len(definition.entrypoints) > 1 else ""
        console.print(f"\nentry point {name}{default}", style="bold", markup=False)
        _print_contracts(entrypoint.input_type, entrypoint.output_type)
    for name, task in sorted(definition.tasks.items()):
        console.print(f"\ntask {name}  {_policy(task)}", style="bold", markup=False)
        _print_contracts(task.input_type, task.output_type)
    if not definition.tasks:
        console.print("\nno tasks: nothing of a run is recorded but its output", style="yellow", markup=False)


def manifest(
    app: options.AppTarget,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="OLD.json", help="Compare with an earlier manifest; exit 1 if the change breaks."
        ),
    ] = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Print the JSON Schemas of an app's contracts, or compare them with those of an earlier version."""
    new = manifest_of(_load(app).definition)
    if check is None:
        write_value(cast("JSON", new))
        return
    broken = incompatibilities(read_manifest(_read_json(check), str(check)), new)
    if output is Format.JSON:
        write_json({"compatible": not broken, "reasons": broken})
    elif broken:
        console = results()
        console.print(f"{app} breaks what was published in {check}:", style="red", markup=False)
        for reason in broken:
            console.print(f"  {reason}", markup=False)
    else:
        notes().print(f"{app} is compatible with {check}", style="green", markup=False)
    if broken:
        raise typer.Exit(FAILED)


def _load(target: str) -> type[App]:
    with contextlib.redirect_stdout(sys.stderr):
        return find_source(target, Path.cwd()).load()


def _check_replays(app_class: type[App], target: str, ledgers: Sequence[Path], output: Format) -> None:
    from application_sdk.testing.replaying import ReplayError, replay

    problems: dict[str, str] = {}
    for path in ledgers:
        try:
            replay(app_class, cast("Mapping[str, object]", _read_json(path)))
        except ReplayError as error:
            problems[str(path)] = str(error)
    if output is Format.JSON:
        write_json({"repeats": not problems, "problems": problems})
    else:
        for name, problem in problems.items():
            results().print(f"{name}: {problem}", markup=False)
        if not problems:
            count = f"{len(ledgers)} run{'s' if len(ledgers) > 1 else ''}"
            notes().print(f"{target} repeats {count}", style="green", markup=False)
    if problems:
        raise typer.Exit(FAILED)


def _read_json(path: Path) -> JSON:
    try:
        return cast("JSON", json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} isn't JSON: {error}") from error


def _policy(task: TaskDefinition) -> str:
    settings, retry = task.settings, task.settings.retry
    parts = [f"{retry.max_attempts} attempt{'s' if retry.max_attempts > 1 else ''}"]
    if settings.timeout_seconds is not None:
        parts.append(f"{settings.timeout_seconds:g} s each")
    if settings.schedule_to_close_seconds is not None:
        parts.append(f"{settings.schedule_to_close_seconds:g} s in all")
    return f"({', '.join(parts)})"


def _print_contracts(given: type[BaseModel], returned: type[BaseModel]) -> None:
    for word, contract in (("takes", given), ("returns", returned)):
        results().print(f"  {word:<8} {contract.__name__}", markup=False)
        for name, field in contract.model_fields.items():
            shown = field.alias or name
            required = "" if field.is_required() else f" = {_default(field)}"
            annotation = getattr(field.annotation, "__name__", None) if isinstance(field.annotation, type) else None
            results().print(f"             {shown}: {annotation or _plain(field.annotation)}{required}", markup=False)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made anew"
    text = repr(field.default)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _plain(annotation: object) -> str:
    return str(annotation).replace("typing.", "")
