"""`apprun check` and `apprun manifest`: what an app consists of, without executing any of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from application_sdk.app.manifest import incompatibilities, manifest_of
from application_sdk.app.publication import fields_of
from application_sdk.cli.errors import InputError
from application_sdk.cli.exit_codes import FAILED, SUCCEEDED
from application_sdk.cli.manifest import read_manifest
from application_sdk.cli.output import Format, app_output, echo, notify, write_result, write_value
from application_sdk.engines.local.source import find_source
from application_sdk.wire.digest import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from application_sdk.app.base import App
    from application_sdk.execution.definition import TaskDefinition


def check(app: str, replay: Sequence[Path], output: Format) -> int:
    """Check an app, and that it repeats these exported runs. Returns the exit code."""
    app_class = _load(app)
    if replay:
        return _check_replays(app_class, app, replay, output)
    definition = app_class.definition
    if output.for_programs:
        write_result({**manifest_of(definition), "ok": True}, output)
        return SUCCEEDED
    echo(f"{definition.name} {definition.version}  {definition.entry}", "bold")
    echo(f"{definition.line}", "dim")
    for name, entrypoint in sorted(definition.entrypoints.items()):
        default = " (default)" if name == definition.default_entrypoint and len(definition.entrypoints) > 1 else ""
        echo(f"\nentry point {name}{default}", "bold")
        _print_contracts(entrypoint.input_type, entrypoint.output_type)
    for name, task in sorted(definition.tasks.items()):
        echo(f"\ntask {name}  {_policy(task)}", "bold")
        _print_contracts(task.input_type, task.output_type)
    if not definition.tasks:
        echo("\nno tasks: nothing of a run is recorded but its output", "yellow")
    return SUCCEEDED


def manifest(app: str, check: Path | None, output: Format) -> int:
    """Print an app's manifest, or compare it with an earlier one. Returns the exit code."""
    new = manifest_of(_load(app).definition)
    if check is None:
        if output is Format.YAML:
            write_result(new, output)
        else:
            write_value(cast("JSON", new))
        return SUCCEEDED
    broken = incompatibilities(read_manifest(_read_json(check), str(check)), new)
    if output.for_programs:
        write_result({"compatible": not broken, "reasons": broken}, output)
    elif broken:
        echo(f"{app} breaks what was published in {check}:", "red")
        for reason in broken:
            echo(f"  {reason}")
    else:
        notify(f"{app} is compatible with {check}", "green")
    return FAILED if broken else SUCCEEDED


def _load(target: str) -> type[App]:
    with app_output():
        return find_source(target, Path.cwd()).load()


def _check_replays(app_class: type[App], target: str, ledgers: Sequence[Path], output: Format) -> int:
    from application_sdk.testing.replay_check import ReplayError, replay

    problems: dict[str, str] = {}
    for path in ledgers:
        try:
            replay(app_class, cast("Mapping[str, object]", _read_json(path)))
        except ReplayError as error:
            problems[str(path)] = str(error)
    if output.for_programs:
        write_result({"repeats": not problems, "problems": problems}, output)
    else:
        for name, problem in problems.items():
            echo(f"{name}: {problem}")
        if not problems:
            count = f"{len(ledgers)} run{'s' if len(ledgers) > 1 else ''}"
            notify(f"{target} repeats {count}", "green")
    return FAILED if problems else SUCCEEDED


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


def _print_contracts(input: type[BaseModel], output: type[BaseModel]) -> None:
    for word, contract in (("takes", input), ("returns", output)):
        echo(f"  {word:<8} {contract.__name__}")
        for line in fields_of(contract):
            echo(f"             {line}")
