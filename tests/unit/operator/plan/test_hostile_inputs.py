"""Schemas and inputs that are made to cost much: the check ends soon, and what it doesn't get to passes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.plan.run.input_validation import MANY, VISITS, faults, format_faults

SECONDS = 5.0
"""Far above what a bounded check takes on a busy machine, and far below what an unbounded one would."""
EIGHTFOLD: JSONObject = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 8}}, "$ref": "#/$defs/A"}


def array_of(item: JSONObject) -> JSONObject:
    return {"type": "array", "items": item}


def case(name: str, schema: JSONObject) -> JSON:
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


FILTER: JSONObject = {"$ref": "#/$defs/Filter"}
FILTERS: JSONObject = {
    "$defs": {
        "Filter": {
            "anyOf": [
                case("and", array_of(FILTER)),
                case("or", array_of(FILTER)),
                case("not", FILTER),
                case("equals", {"type": "string"}),
            ]
        }
    },
    **FILTER,
}
"""What an honest app may publish: a filter is made of filters."""


def a_filter(levels: int, leaf: JSON) -> JSON:
    found: JSON = {"equals": leaf}
    for _ in range(levels):
        found = {"and": [found, {"not": found}]}
    return found


def checked(schema: JSONObject, value: JSON) -> str:
    began = time.perf_counter()
    found = format_faults(faults(schema, value, "spec.input"))
    assert time.perf_counter() - began < SECONDS
    return found


@pytest.mark.parametrize("value", [1, {"x": 1}, [[[1]]], None])
def test_alternatives_that_lead_back_to_themselves_end(value: JSON) -> None:
    assert checked(EIGHTFOLD, value) == ""


@pytest.mark.parametrize("leaf", ["x", {"odd": 1}])
def test_a_recursive_union_of_filters_ends(leaf: JSON) -> None:
    assert checked(FILTERS, a_filter(25, leaf)) == ""


def test_a_small_filter_is_judged_to_its_leaf() -> None:
    assert checked(FILTERS, a_filter(3, "x")) == ""
    assert "equals" in checked(FILTERS, {"and": [{"not": {"equals": {"odd": 1}}}]})


def test_the_first_case_that_fits_ends_the_search() -> None:
    costly: list[JSON] = [{"type": "object"}, *([EIGHTFOLD] * VISITS)]
    assert checked({"anyOf": costly}, {"a": 1}) == ""


def test_a_fault_is_told_with_the_place_where_it_is() -> None:
    schema: JSONObject = {
        "$defs": {"N": {"type": "integer"}},
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/N"} for name in ("a", "b")},
    }
    assert [fault.path for fault in faults(schema, {"a": None, "b": None}, "spec.input")] == [
        "spec.input.a",
        "spec.input.b",
    ]


def test_many_faults_are_counted_up_to_a_bound() -> None:
    assert len(faults(array_of({"type": "integer"}), ["x"] * 100_000, "spec.input")) == MANY


def test_many_unknown_fields_end() -> None:
    known: dict[str, Any] = {f"name{n}": {"type": "integer"} for n in range(900)}
    schema: JSONObject = {"type": "object", "properties": known, "additionalProperties": False}
    checked(schema, {f"names{n}": n for n in range(50_000)})


def test_messages_stay_short() -> None:
    schema: JSONObject = {"type": "object", "properties": {"x" * 5000: {}}, "additionalProperties": False}
    assert len(checked(schema, {"y" * 100_000: 1, "z" * 100_000: 2})) < 1000
    enum: JSONObject = {"enum": ["w" * 50_000] * 50}
    assert len(checked(enum, "v" * 200_000)) < 2000


@pytest.mark.parametrize("value", [1e308, -1e308, 10**400, -0.0, 5e-324, 2**63])
def test_odd_numbers_are_compared_like_others(value: float) -> None:
    assert checked({"type": "integer", "maximum": 5}, value if value < 6 else 1) in ("",) or value in (5e-324,)
    assert checked({"type": "number"}, value) == ""
    assert ("more than 5" in checked({"type": "number", "maximum": 5}, value)) == (value > 5)
