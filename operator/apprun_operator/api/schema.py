"""From pydantic's JSON Schema to the structural OpenAPI v3 that a CRD accepts. Pure; called by
`crds` only.

Kubernetes knows no `$ref`, no null type, no `const`, no `prefixItems`. What this translation
doesn't know it refuses, so that a model can't lose a constraint on its way to the API server.
"""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from apprun_operator.api.shapes import Shape

Schema = dict[str, JsonValue]

KEPT: Final = frozenset(
    {
        "default",
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "required",
        "type",
    }
)
DROPPED: Final = frozenset({"title", "$defs"})
ORDER: Final = ("description", "type", "default", "enum")


class UntranslatableSchemaError(Exception):
    """A model uses something that no CRD can say; the message names the field and the keyword."""


def structural(model: type[Shape]) -> Schema:
    """The structural schema of `model`, by alias. Raises UntranslatableSchemaError."""
    whole: Schema = model.model_json_schema(by_alias=True)
    definitions = whole.get("$defs", {})
    assert isinstance(definitions, dict)
    return _translate(whole, definitions, model.__name__)


def _translate(node: Schema, definitions: Schema, where: str) -> Schema:
    node = _without_indirection(node, definitions, where)
    made: Schema = {}
    for keyword, value in node.items():
        match keyword:
            case "properties":
                assert isinstance(value, dict)
                made["properties"] = {
                    name: _translate(_object(child), definitions, f"{where}.{name}") for name, child in value.items()
                }
            case "items":
                made["items"] = _translate(_object(value), definitions, f"{where}[]")
            case "additionalProperties" if isinstance(value, dict):
                made["additionalProperties"] = _translate(value, definitions, f"{where}{{}}")
            case "additionalProperties" | "propertyNames":
                pass  # a structural schema prunes unknown fields by itself, and can't bound the names of a map
            case "default" if value is None:
                pass
            case "description":
                made["description"] = " ".join(str(value).split())
            case "const":
                made["enum"] = [value]
            case _ if keyword in KEPT or keyword.startswith("x-kubernetes-"):
                made[keyword] = value
            case _ if keyword in DROPPED:
                pass
            case _:
                raise UntranslatableSchemaError(f"{where}: a CRD can't say {keyword!r}: {value!r}")
    return _ordered(made)


def _without_indirection(node: Schema, definitions: Schema, where: str) -> Schema:
    """`node` with its `$ref` and its `anyOf` with null replaced by what they stand for; its own
    keywords win."""
    if "$ref" in node:
        target = definitions[str(node["$ref"]).removeprefix("#/$defs/")]
        rest = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
        return _without_indirection(_object(target) | rest, definitions, where)
    if "anyOf" in node:
        choices = node["anyOf"]
        assert isinstance(choices, list)
        real = [choice for choice in choices if choice != {"type": "null"}]
        if len(real) != 1:
            raise UntranslatableSchemaError(f"{where}: a CRD can't say anyOf: {choices!r}")
        rest = {keyword: value for keyword, value in node.items() if keyword != "anyOf"}
        return _without_indirection(_object(real[0]) | rest, definitions, where)
    return node


def _object(value: JsonValue) -> Schema:
    assert isinstance(value, dict)
    return value


def _ordered(schema: Schema) -> Schema:
    """What a reader looks for first comes first, properties last."""
    first = [keyword for keyword in ORDER if keyword in schema]
    last = [keyword for keyword in ("items", "additionalProperties", "properties") if keyword in schema]
    middle = sorted(schema.keys() - set(first) - set(last))
    return {keyword: schema[keyword] for keyword in (*first, *middle, *last)}
