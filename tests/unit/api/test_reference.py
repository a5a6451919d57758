"""The page of all fields says of each what the CRD's schema does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apprun_operator.api.crds import KINDS, Kind, definition
from apprun_operator.api.reference import page

PAGE = page(KINDS)
CASES = {kind.name: kind for kind in KINDS}


def leaves(schema: dict[str, Any], path: str = "") -> set[str]:
    """All fields below a schema, as paths."""
    found: set[str] = set()
    for name, child in schema.get("properties", {}).items():
        found.add(path + name)
        inner, suffix = (child["items"], "[].") if "items" in child else (child, ".")
        found |= leaves(inner, f"{path}{name}{suffix}")
    return found


def section(title: str) -> str:
    found = re.search(rf"^### {re.escape(title)}$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows_of(title: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `([^`]+)`\*? \| .*? \| (.*) \|$", section(title), re.MULTILINE))


def fields_below(place: str) -> set[str]:
    """The fields that the page lists below a place such as `App.spec.pod`, as paths from there."""
    kind, part, path = place.split(".", 2)
    return {name.removeprefix(f"{path}.") for name in rows_of(f"{kind}.{part}") if name.startswith(f"{path}.")}


@pytest.mark.parametrize("kind", CASES.values(), ids=CASES)
def test_every_field_is_there_and_described(kind: Kind) -> None:
    crd: Any = definition(kind)
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for part in properties.keys() - {"apiVersion", "kind", "metadata"}:
        rows = rows_of(f"{kind.name}.{part}")
        repeated = {
            f"{path}.{field}"
            for path, meaning in rows.items()
            for place in re.findall(r"Its fields are those of `([^`]+)`\.$", meaning)
            for field in fields_below(place)
        }
        assert rows.keys() | repeated == leaves(properties[part])
        assert all(rows.values()), "each has a meaning"


def test_a_bar_in_a_pattern_ends_no_cell() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4, line


def test_what_has_to_be_given_is_marked() -> None:
    assert "| `entry`* | text |" in section("App.spec")
    assert "| `image` | text |" in section("App.spec")
