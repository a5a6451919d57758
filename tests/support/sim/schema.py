"""Structural schemas of CRDs as the API server applies them: prune what is unknown, fill in defaults, check the rest.

Rules in CEL (`x-kubernetes-validations`) are in `rules`, written by hand.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).resolve().parents[3] / "crds"
KEEP = "x-kubernetes-preserve-unknown-fields"
OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


@functools.cache
def schemas() -> dict[str, dict[str, Any]]:
    """The stored version's schema of each of our resources, by plural."""
    documents = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted(CRDS.glob("*.yaml"))]
    return {
        crd["spec"]["names"]["plural"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in documents
    }


def completed(plural: str, item: dict[str, Any]) -> dict[str, Any]:
    """The object without unknown fields, and with its defaults."""
    schema = schemas()[plural]
    rest = {name: value for name, value in item.items() if name not in OF_EVERY_OBJECT}
    common = {name: item[name] for name in OF_EVERY_OBJECT if name in item}
    return {**common, **_completed(schema, rest)}


def problems(plural: str, item: dict[str, Any]) -> list[str]:
    """What the schema has against an object, as paths with a word about each."""
    faults: list[str] = []
    rest = {name: value for name, value in item.items() if name not in OF_EVERY_OBJECT}
    _check(schemas()[plural], rest, "", faults)
    return faults


def _completed(schema: dict[str, Any], value: Any) -> Any:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        result = {}
        for name, inner in value.items():
            if name in properties:
                # A null where null isn't allowed is as good as nothing.
                if inner is None and not properties[name].get("nullable"):
                    continue
                result[name] = _completed(properties[name], inner)
            elif isinstance(schema.get("additionalProperties"), dict):
                result[name] = _completed(schema["additionalProperties"], inner)
            elif schema.get(KEEP) or schema.get("additionalProperties") is True:
                result[name] = inner
        for name, property_schema in properties.items():
            if "default" in property_schema and name not in result:
                result[name] = _completed(property_schema, property_schema["default"])
        return result
    if isinstance(value, list) and "items" in schema:
        return [_completed(schema["items"], inner) for inner in value]
    return value


def _check(schema: dict[str, Any], value: Any, path: str, found: list[str]) -> None:
    kind = schema.get("type")
    if value is None:
        if kind and not schema.get("nullable"):
            found.append(f"{path}: null")
        return
    if kind and not _is_of_type(kind, value):
        found.append(f"{path}: not of type {kind}")
        return
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: not one of {schema['enum']}")
    if isinstance(value, str):
        _check_text(schema, value, path, found)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            found.append(f"{path}: out of range")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{path}: {len(value)} items")
        for number, inner in enumerate(value):
            _check(schema.get("items", {}), inner, f"{path}[{number}]", found)
    elif isinstance(value, dict):
        _check_object(schema, value, path, found)


def _check_text(schema: dict[str, Any], value: str, path: str, found: list[str]) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        found.append(f"{path}: {len(value)} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: doesn't match {schema['pattern']}")
    if schema.get("format") == "date-time" and not re.fullmatch(
        r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value
    ):
        found.append(f"{path}: not a time")


def _check_object(schema: dict[str, Any], value: dict[str, Any], path: str, found: list[str]) -> None:
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        found.append(f"{path}: {len(value)} properties")
    found.extend(f"{path}.{name}: required" for name in schema.get("required", []) if name not in value)
    known, further = schema.get("properties", {}), schema.get("additionalProperties")
    for name, inner in value.items():
        if name in known:
            _check(known[name], inner, f"{path}.{name}", found)
        elif isinstance(further, dict):
            _check(further, inner, f"{path}.{name}", found)


def _is_of_type(json_type: str, value: Any) -> bool:
    if json_type == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if json_type == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[json_type])
