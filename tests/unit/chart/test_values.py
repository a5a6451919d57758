"""values.yaml and values.schema.json say the same, and refuse what they don't know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[3] / "charts" / "apprun"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))

HELMS_OWN = {"global"}


def declared(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}{name}", child
        yield from declared(child, f"{path}{name}.")


def given(node: dict[str, Any], known: set[str], path: str = "") -> Iterator[str]:
    for name, child in node.items():
        yield f"{path}{name}"
        if isinstance(child, dict) and any(other.startswith(f"{path}{name}.") for other in known):
            yield from given(child, known, f"{path}{name}.")


def test_each_value_has_a_schema_and_each_schema_a_default() -> None:
    known = {path for path, _ in declared(SCHEMA)} - HELMS_OWN
    assert set(given(VALUES, known)) == known


def test_unknown_values_are_refused_at_each_level() -> None:
    assert SCHEMA["additionalProperties"] is False
    assert [path for path, node in declared(SCHEMA) if "properties" in node and node["additionalProperties"]] == []


def test_each_value_is_used() -> None:
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").rglob("*.*"))
    leaves = [path for path, node in declared(SCHEMA) if path != "global" and "properties" not in node]
    for path in leaves:
        # A group such as `image` may be handed over whole.
        assert f".Values.{path}" in templates or f".Values.{path.partition('.')[0]} " in templates, path


def test_the_operator_leaves_a_lost_node_before_its_tasks_do() -> None:
    stays = {t["key"]: t["tolerationSeconds"] for t in VALUES["tolerations"]}
    assert stays.keys() == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
    assert max(stays.values()) < VALUES["nodeLostGraceSeconds"]
