"""The manifests of the page about pods are Apps that the API server takes, with no field that it would drop."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from tests.support.pages import ROOT, blocks

from apprun_operator.api.app import App

MANIFESTS = [
    document
    for block in blocks(ROOT / "docs" / "pods.md")
    if block.language == "yaml"
    for document in yaml.safe_load_all(block.content)
]
APPS = [document for document in MANIFESTS if document.get("kind") == "App"]


def known(value: Any) -> Any:
    """A value as the models write it again, whose numbers may be text in a manifest."""
    return App.model_validate(value).model_dump(by_alias=True, exclude_none=True, mode="json")


def test_the_page_shows_apps() -> None:
    assert len(APPS) >= 2


@pytest.mark.parametrize("app", APPS, ids=lambda app: f"{app['metadata']['name']}-{APPS.index(app)}")
def test_manifest_has_only_fields_that_are_kept(app: dict[str, Any]) -> None:
    assert known(app)["spec"] == app["spec"]


def is_known(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is one that the schema of the chart takes, as far as this page goes."""
    types = {dict: "object", list: "array", int: "integer", str: "string", type(None): "null"}
    if types[type(value)] not in schema["type"]:
        return False
    if isinstance(value, list):
        return all(is_known(child, schema["items"]) for child in value)
    if isinstance(value, dict):
        known, further = schema.get("properties", {}), schema.get("additionalProperties", True)
        return all(
            is_known(child, known[name]) if name in known
            else is_known(child, further) if isinstance(further, dict) else further
            for name, child in value.items()
        )  # fmt: skip
    return True


def test_value_that_the_chart_does_not_know_is_noticed() -> None:
    schema = json.loads((ROOT / "charts/apprun/values.schema.json").read_text())
    assert not is_known({"podSecurity": {"runAsGroup": 1}}, schema)
    assert not is_known({"spot": {"nodeSelector": {"a": 1}}}, schema)


VALUES = [document for document in MANIFESTS if "kind" not in document]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: "-".join(values))
def test_values_are_values_of_the_chart(values: dict[str, Any]) -> None:
    assert is_known(values, json.loads((ROOT / "charts/apprun/values.schema.json").read_text()))
