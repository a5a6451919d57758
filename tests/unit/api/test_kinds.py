"""What kubectl shows: descriptions, columns, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from apprun_operator.api.app import App, ServedAppSpec
from apprun_operator.api.crds import CATEGORY, KINDS, Kind, definition

BY_NAME = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def version(kind: Kind) -> dict[str, Any]:
    crd: Any = definition(kind)
    return dict(crd["spec"]["versions"][0])


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child.get("items", child), f"{path}.{name}")


@BY_NAME
def test_each_field_is_described(kind: Kind) -> None:
    root = version(kind)["schema"]["openAPIV3Schema"]
    bare = [path for path, node in fields(root) if not node.get("description") and path != ".metadata"]
    assert bare == []
    assert root["description"]


@BY_NAME
def test_each_column_shows_a_field_that_exists_with_its_type(kind: Kind) -> None:
    known = dict(fields(version(kind)["schema"]["openAPIV3Schema"])) | {".metadata.creationTimestamp": {"type": "date"}}
    for column in version(kind)["additionalPrinterColumns"]:
        path = re.sub(r"\[(\?\(@\.type==\"\w+\"\)|\d)\]", "", column["jsonPath"])
        assert known[path]["type"] == column["type"], column["name"]


@BY_NAME
def test_each_list_says_how_it_is_merged(kind: Kind) -> None:
    lists = [(path, node) for path, node in fields(version(kind)["schema"]["openAPIV3Schema"]) if "items" in node]
    scalar = {"string", "integer"}
    unsaid = [p for p, n in lists if "x-kubernetes-list-type" not in n and n["items"].get("type") not in scalar]
    assert unsaid == []


def test_a_name_on_the_command_line_means_one_thing() -> None:
    said = [name for kind in KINDS for name in (kind.plural, kind.name.lower(), *kind.short_names)]
    assert len(set(said)) == len(said)
    # kubectl expands a category before it looks for a kind, so a category of that name would hide it.
    assert CATEGORY not in said


def test_all_kinds_but_pages_have_a_status_of_their_own() -> None:
    assert {kind.name for kind in KINDS if "status" in version(kind).get("subresources", {})} == {
        "App",
        "AppRun",
        "AppTask",
        "AppWorker",
    }


def test_models_are_frozen() -> None:
    spec = ServedAppSpec(entry="app:Hello")
    with pytest.raises(ValidationError, match="frozen"):
        spec.entry = "app:Other"  # type: ignore[misc]


def test_models_read_what_a_newer_version_wrote() -> None:
    app = App.model_validate({"spec": {"entry": "app:Hello", "pod": {"cpu": 1}, "novelty": True}, "metadata": {}})
    assert app.spec == ServedAppSpec(entry="app:Hello", pod={"cpu": 1})  # type: ignore[arg-type]
