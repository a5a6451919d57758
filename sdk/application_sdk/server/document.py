"""The OpenAPI document: FastAPI's, with the app's own inputs as what `start` takes, so that clients
made from it are typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI

from application_sdk.contracts.schema import schema_of
from application_sdk.wire.names import RUN_NAME_MAX_LENGTH, RUN_NAME_PATTERN

if TYPE_CHECKING:
    from application_sdk.execution.definition import AppDefinition

# A JSON Schema, which has too many forms for a type.
Schema = dict[str, Any]

NAME_FIELD: Final[Schema] = {
    "type": "string",
    "maxLength": RUN_NAME_MAX_LENGTH,
    "pattern": f"^({RUN_NAME_PATTERN})?$",
    "default": "",
    "title": "Workflow Id",
    "description": "What the run is to be called. A name is made up if it is empty",
}


QUESTIONS: Final = ("AuthInput", "PreflightInput", "MetadataInput")
"""Schemas of what handlers are asked."""


def describe(application: FastAPI, app: AppDefinition, class_name: str) -> None:
    """Have the application give that document. `class_name` stands before the names of the app's
    models in it."""
    build_document = application.openapi

    def openapi() -> Schema:
        document = build_document()
        schemas = document["components"]["schemas"]
        inputs = [_filed(schema_of(one.input_type), schemas, class_name) for one in app.entrypoints.values()]
        body = document["paths"]["/workflows/v1/start"]["post"]["requestBody"]
        distinct = list({each["$ref"]: each for each in inputs}.values())
        body["content"]["application/json"]["schema"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
        for parameter in document["paths"]["/workflows/v1/start"]["post"]["parameters"]:
            if parameter["name"] == "entrypoint":
                parameter["schema"] |= {"enum": _choice(app)["enum"]}
        for question in QUESTIONS:
            schemas[question]["properties"]["entrypoint"] |= _choice(app)
        return document

    application.openapi = openapi  # type: ignore[method-assign]


def _choice(app: AppDefinition) -> Schema:
    """The entry points that a question may be of."""
    names = sorted(app.entrypoints)
    described = f"The entry point that is asked about; empty for {app.default_entrypoint}"
    return {"enum": ["", *names], "description": described}


def _filed(schema: Mapping[str, Any], schemas: Schema, prefix: str) -> Schema:
    """Put an input's schema and what it refers to among the document's; the reference to it."""
    for name, part in schema.get("$defs", {}).items():
        schemas[f"{prefix}.{name}"] = _pointing(part, prefix)
    own: Schema = _pointing({key: value for key, value in schema.items() if key != "$defs"}, prefix)
    own["properties"] = {"workflow_id": NAME_FIELD, **own.get("properties", {})}
    name = f"{prefix}.{schema.get('title', 'Input')}"
    schemas[name] = own
    return {"$ref": f"#/components/schemas/{name}"}


def _pointing(part: Any, prefix: str) -> Any:
    """The same schema, its references to where `_filed` puts their targets."""
    if isinstance(part, dict):
        return {
            key: f"#/components/schemas/{prefix}.{value.removeprefix('#/$defs/')}"
            if key == "$ref" and isinstance(value, str)
            else _pointing(value, prefix)
            for key, value in part.items()
        }
    return [_pointing(each, prefix) for each in part] if isinstance(part, list) else part
