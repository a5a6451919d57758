"""An app's manifest: its entry points and tasks with the JSON Schemas of their contracts, and how two are compared.

`apprun manifest` writes it; published beside an App it lets others check inputs without the app's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from application_sdk.contracts.compatibility import breaking_changes
from application_sdk.contracts.schema import schema_of
from application_sdk.execution.definition import TaskDefinition
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ReuseFields, RunsIn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from application_sdk.execution.definition import AppDefinition, EntrypointDefinition

FORMAT = 1


class Contracts(TypedDict):
    """Of one entry point or task."""

    description: str
    input: JSONObject
    output: JSONObject
    runsIn: NotRequired[RunsIn]
    """Where a task is executed; absent for a pod."""
    reuse: NotRequired[ReuseFields]
    """The pool of warm pods that a task's calls are executed in; absent for a pod of its own."""


class Manifest(TypedDict):
    """What `apprun manifest` writes."""

    manifest: int
    """Version of this format."""
    app: str
    version: str
    entry: str
    defaultEntrypoint: str
    entrypoints: dict[str, Contracts]
    tasks: dict[str, Contracts]


def manifest_of(app: AppDefinition) -> Manifest:
    """The manifest of an app."""
    return Manifest(
        manifest=FORMAT,
        app=app.name,
        version=app.version,
        entry=app.entry,
        defaultEntrypoint=app.default_entrypoint,
        entrypoints=_contracts(app.entrypoints),
        tasks=_contracts(app.tasks),
    )


def incompatibilities(old: Manifest, new: Manifest) -> list[str]:
    """Every change that would break runs which the old version began, or those who start them."""
    found: list[str] = []
    for kind, before, after in (
        ("entry point", old["entrypoints"], new["entrypoints"]),
        ("task", old["tasks"], new["tasks"]),
    ):
        for name, contracts in before.items():
            if name not in after:
                found.append(f"{kind} {name!r} is gone or renamed. Keep it as long as runs use it.")
                continue
            found += _changes(f"{kind} {name!r}, input", contracts["input"], after[name]["input"],
                              identifies=kind == "task")  # fmt: skip
            found += _changes(f"{kind} {name!r}, output", contracts["output"], after[name]["output"], complete=True)
    if old["defaultEntrypoint"] != new["defaultEntrypoint"]:
        found.append(
            f"the default entry point was {old['defaultEntrypoint']!r}, is {new['defaultEntrypoint']!r} now. "
            f"Mark the old one with default=True."
        )
    return found


def _changes(
    where: str, old: JSONObject, new: JSONObject, *, complete: bool = False, identifies: bool = False
) -> list[str]:
    changes = breaking_changes(old, new, always_complete=complete, identifies=identifies)
    return [f"{where}: {change}" for change in changes]


def _contracts(definitions: Mapping[str, TaskDefinition | EntrypointDefinition]) -> dict[str, Contracts]:
    return {name: _contract(one) for name, one in sorted(definitions.items())}


def _contract(one: TaskDefinition | EntrypointDefinition) -> Contracts:
    made = Contracts(description=one.description, input=schema_of(one.input_type), output=schema_of(one.output_type))
    if isinstance(one, TaskDefinition) and one.settings.runs_in != "pod":
        made["runsIn"] = one.settings.runs_in
    if isinstance(one, TaskDefinition) and one.settings.reuse is not None:
        made["reuse"] = one.settings.reuse
    return made
