"""What an App publishes of its code: an inspection pod reports it, the operator keeps it in the App's status.

It speaks of an app that is loaded already and does no I/O.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, cast

from application_sdk.app.manifest import FORMAT, Contracts, Manifest, incompatibilities, manifest_of
from application_sdk.execution.definition import TaskDefinition
from application_sdk.wire.digest import canonical_json
from application_sdk.wire.fields import AppSchemas, ContractFields, ContractSchemas, Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from application_sdk.execution.definition import AppDefinition, EntrypointDefinition
    from application_sdk.wire.digest import JSON, JSONObject

MAX_TEXT = 2_000
"""Longest description, in characters: a docstring may be a page."""


def findings_of(app: AppDefinition, published: JSONObject | None, sdk_version: str, limit: int) -> Findings:
    """What there is to publish, as JSON of at most `limit` bytes, as far as that can be done by leaving out schemas.

    `published` is what an earlier inspection found, which this version is compared with.
    """
    manifest = manifest_of(app)
    found = Findings(
        app=app.name,
        version=app.version,
        sdkVersion=sdk_version,
        defaultEntrypoint=app.default_entrypoint,
        entrypoints=[_described(name, one) for name, one in sorted(app.entrypoints.items())],
        tasks=[_described(name, one) for name, one in sorted(app.tasks.items())],
        schemas=AppSchemas(
            entrypoints={name: _schemas(one) for name, one in manifest["entrypoints"].items()},
            tasks={name: _schemas(one) for name, one in manifest["tasks"].items()},
        ),
        changes=incompatibilities(_as_manifest(published, manifest), manifest) if published else [],
    )
    for one in found["entrypoints"] if len(app.entrypoints) > 1 else ():
        if one["name"] == app.default_entrypoint:
            one["default"] = True
    return _fitted(found, limit)


def fields_of(contract: type[BaseModel]) -> list[str]:
    """The fields of a contract, a line each, as Python writes them: `name: str = 'World'`."""
    lines = []
    for name, field in contract.model_fields.items():
        required = "" if field.is_required() else f" = {_default(field)}"
        annotation = getattr(field.annotation, "__name__", None) if isinstance(field.annotation, type) else None
        lines.append(f"{field.alias or name}: {annotation or _plain(field.annotation)}{required}")
    return lines


def _described(name: str, definition: TaskDefinition | EntrypointDefinition) -> ContractFields:
    made = ContractFields(name=name, takes=fields_of(definition.input_type), returns=fields_of(definition.output_type))
    if definition.description:
        made["description"] = definition.description[:MAX_TEXT]
    if isinstance(definition, TaskDefinition) and definition.settings.runs_in != "pod":
        made["runsIn"] = definition.settings.runs_in
    if isinstance(definition, TaskDefinition) and definition.settings.reuse is not None:
        made["reuse"] = definition.settings.reuse
    return made


def _schemas(contracts: Contracts) -> ContractSchemas:
    return ContractSchemas(input=contracts["input"], output=contracts["output"])


def _as_manifest(published: JSONObject, new: Manifest) -> Manifest:
    """An earlier version's findings in the form that versions are compared in. Of what was left out nothing can be
    said, so it counts as unchanged."""
    schemas = cast("AppSchemas", published["schemas"])
    return Manifest(
        manifest=FORMAT,
        app="",
        version="",
        entry="",
        defaultEntrypoint=str(published["defaultEntrypoint"]),
        entrypoints=_whole(schemas["entrypoints"], new["entrypoints"]),
        tasks=_whole(schemas["tasks"], new["tasks"]),
    )


def _whole(schemas: Mapping[str, ContractSchemas], new: Mapping[str, Contracts]) -> dict[str, Contracts]:
    nothing = Contracts(description="", input={}, output={})
    return {
        name: Contracts(
            description="",
            input=one.get("input", new.get(name, nothing)["input"]),
            output=one.get("output", new.get(name, nothing)["output"]),
        )
        for name, one in schemas.items()
    }


def _fitted(found: Findings, limit: int) -> Findings:
    """Leave out what is missed least: schemas of tasks, then of outputs, then of inputs, then the lines for people."""
    if _size(found) <= limit:
        return found
    found = copy.deepcopy(found)
    entrypoints, tasks = found["schemas"]["entrypoints"], found["schemas"]["tasks"]
    steps: list[tuple[str, dict[str, ContractSchemas], list[Literal["input", "output"]]]] = [
        ("the schemas of tasks", tasks, ["input", "output"]),
        ("the schemas of tasks and outputs", entrypoints, ["output"]),
        ("all schemas", entrypoints, ["input"]),
    ]
    for what, contracts, fields in steps:
        _leave_out(contracts.values(), fields)
        found["omitted"] = what
        if _size(found) <= limit:
            return found
    found["omitted"] = "all schemas and fields"
    found["changes"] = found["changes"][:20]
    for one in (*found["entrypoints"], *found["tasks"]):
        one["takes"], one["returns"] = [], []
        one.pop("description", None)
    return found


def _leave_out(schemas: Iterable[ContractSchemas], fields: Sequence[Literal["input", "output"]]) -> None:
    for one in schemas:
        for field in fields:
            one.pop(field, None)


def _size(found: Findings) -> int:
    return len(canonical_json(cast("JSON", found)))


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made anew"
    text = repr(field.default)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _plain(annotation: object) -> str:
    return str(annotation).replace("typing.", "")
