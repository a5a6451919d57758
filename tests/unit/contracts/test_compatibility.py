"""Which changes of a contract break what is stored, and what is said of each."""

from __future__ import annotations

import enum
import typing as t
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, create_model

from application_sdk.contracts import BoundedDict, BoundedList, Input, MaxItems, Output, Record, is_backwards_compatible
from application_sdk.contracts.compatibility import BreakingChange, breaking_changes
from application_sdk.contracts.schema import schema_of
from application_sdk.wire.digest import JSONObject


class Row(Record):
    count: int = 0


class WiderRow(Record):
    count: float = 0
    note: str = ""


class NarrowerRow(Record):
    count: t.Annotated[int, Field(le=5)] = 0


class Two(enum.StrEnum):
    A = "a"
    B = "b"


class One(enum.StrEnum):
    A = "a"


class OldPet(BaseModel):
    kind: t.Literal["cat"] = "cat"


class NewPet(BaseModel):
    kind: t.Literal["dog"] = "dog"
    name: str = ""


COMPATIBLE = [
    (int, int),
    (int, float),
    (int, int | None),
    (int, int | str),
    (str, str | None),
    (One, Two),
    (One, str),
    (t.Literal["a"], Two),
    (datetime, str),
    (UUID, str),
    (Row, Row),
    (Row, WiderRow),
    (Row | None, Row | OldPet | None),
    (OldPet, OldPet | NewPet),
    (BoundedList[int, 5], BoundedList[int, 6]),
    (BoundedList[Row, 5], BoundedList[WiderRow, 5]),
    (BoundedDict[str, int, 5], BoundedDict[str, float, 6]),
    (tuple[int, int], tuple[float, int]),
    (t.Annotated[set[int], MaxItems(5)], BoundedList[int, 5]),
    (t.Annotated[int, Field(le=5)], t.Annotated[int, Field(le=6)]),
    (t.Annotated[str, Field(max_length=5)], str),
    (Decimal, Decimal),
]

BREAKING = [
    (float, int, "field: was number, is integer now."),
    (int, str, "field: was integer, is string now."),
    (str, int | bool, "field: was string, is boolean, integer now."),
    (int | None, int, "field: took None, takes none now."),
    (Two, One, 'field: value "b" is gone.'),
    (str, Two, 'field: took any string, is one of ["a","b"] now.'),
    (str, datetime, 'field: format was none, is "date-time" now.'),
    (datetime, date, 'field: format was "date-time", is "date" now.'),
    (WiderRow, Row, "field.count: was number, is integer now."),
    (Row, NarrowerRow, "field.count: has maximum 5 now, had none."),
    (Row, OldPet, "field.id: is gone or renamed. Keep it, with a default if it is no longer used."),
    (BoundedList[int, 5], BoundedList[int, 4], "field: maxItems was 5, is 4 now."),
    (BoundedList[int, 5], BoundedList[str, 5], "field[]: was integer, is string now."),
    (BoundedDict[str, int, 5], BoundedDict[str, int, 4], "field: maxProperties was 5, is 4 now."),
    (BoundedDict[str, int, 5], BoundedDict[str, str, 5], "field{}: was integer, is string now."),
    (BoundedDict[str, int, 5], BoundedDict[Two, int, 5], 'field{key}: took any string, is one of ["a","b"] now.'),
    (BoundedDict[str, int, 5], Row, "field: was a mapping with any keys, has fixed fields now."),
    (tuple[int, int], tuple[int, str], "field[1]: was integer, is string now."),
    (tuple[int, int], tuple[int, int, int], "field: minItems was 2, is 3 now."),
    (
        BoundedList[int, 5],
        t.Annotated[set[int], MaxItems(5)],
        "field: is a set now: items that are there twice would be lost.",
    ),
    (str, t.Annotated[str, Field(pattern="^a")], 'field: pattern was none, is "^a" now.'),
    (t.Annotated[int, Field(ge=1)], t.Annotated[int, Field(ge=2)], "field: minimum was 1, is 2 now."),
]


def pair(old: t.Any, new: t.Any, base: type[BaseModel] = Input) -> tuple[type[BaseModel], type[BaseModel]]:
    return (
        create_model("Old", __base__=base, field=(old, ...)),
        create_model("New", __base__=base, field=(new, ...)),
    )


@pytest.mark.parametrize(("old", "new"), COMPATIBLE, ids=str)
def test_what_reads_all_that_was_written_is_compatible(old: object, new: object) -> None:
    assert is_backwards_compatible(*pair(old, new)) == (True, [])


@pytest.mark.parametrize(("old", "new", "reason"), BREAKING, ids=str)
def test_what_could_not_read_it_is_named_with_its_reason(old: object, new: object, reason: str) -> None:
    verdict = is_backwards_compatible(*pair(old, new))
    assert not verdict
    assert reason in verdict.reasons


def test_every_breaking_change_of_a_contract_is_listed() -> None:
    class Old(Input):
        gone: str = ""
        narrowed: float
        now_required: int = 0

    class New(Input):
        narrowed: int
        now_required: int
        added: str

    assert is_backwards_compatible(Old, New).reasons == [
        "gone: is gone or renamed. Keep it, with a default if it is no longer used.",
        "narrowed: was number, is integer now.",
        "now_required: is required now; payloads may lack it. Give it a default.",
        "added: is new and has no default. Give it one.",
    ]


def test_a_field_with_a_default_may_be_added_and_a_default_may_change() -> None:
    class Old(Input):
        name: str = "World"

    class New(Input):
        name: str = "everybody"
        size: int = 1

    assert is_backwards_compatible(Old, New)


def test_an_output_may_drop_a_default_since_it_was_always_written() -> None:
    class Old(Output):
        count: int = 0

    class New(Output):
        count: int

    assert is_backwards_compatible(Old, New)
    assert not is_backwards_compatible(
        *(create_model(c.__name__, __base__=Input, count=(int, d)) for c, d in [(Old, 0), (New, ...)])
    )


def test_published_schemas_can_be_compared_without_their_classes() -> None:
    old, new = map(schema_of, pair(int, str))
    assert breaking_changes(old, new) == [BreakingChange("field", "was integer, is string now.")]


def test_recursive_contracts_can_be_compared() -> None:
    class Node(Record, allow_unbounded_fields=True):
        children: list[Node] = []

    assert is_backwards_compatible(Node, Node)


def test_a_renamed_alias_breaks() -> None:
    class Old(Input):
        size: int = Field(default=1, alias="pageSize")

    class New(Input):
        size: int = Field(default=1, alias="page_size")

    (reason,) = is_backwards_compatible(Old, New).reasons
    assert reason.startswith("pageSize: is gone or renamed.")


def test_a_task_input_tells_changes_of_identity() -> None:
    def schema(**properties: object) -> JSONObject:
        return {"type": "object", "properties": properties, "required": []}  # type: ignore[dict-item]

    def changes(old: JSONObject, new: JSONObject) -> list[str]:
        return [str(change) for change in breaking_changes(old, new, identifies=True)]

    number = {"type": "integer"}
    assert changes(schema(), schema(a={**number, "default": 1}, b={"type": "array", "items": number})) == []
    assert "each call makes its default anew" in changes(schema(), schema(a=number))[0]
    assert (
        "its default was 1, is 2 now"
        in changes(schema(a={**number, "default": 1}), schema(a={**number, "default": 2}))[0]
    )
    either, added = schema(x={**number, "default": 0}), schema(y={**number, "default": 0}, z={**number, "default": 0})
    old = schema(one={"anyOf": [either, schema(y={**number, "default": 0})]})
    assert "nothing tells from others" in changes(old, schema(one={"anyOf": [either, added]}))[0]
    assert breaking_changes(schema(a={**number, "default": 1}), schema(a={**number, "default": 2})) == []


def test_an_added_default_in_a_mixed_union_breaks() -> None:
    def schema(**properties: object) -> JSONObject:
        return {"type": "object", "properties": properties, "required": []}  # type: ignore[dict-item]

    def either(*inner: str) -> JSONObject:
        within = schema(**{name: {"type": "integer", "default": 0} for name in inner})
        return schema(one={"anyOf": [schema(metres=within), schema(feet=within)]}, beside=within)

    changed = breaking_changes(either("x"), either("x", "y"), identifies=True)
    assert {change.path.partition(".")[0] for change in changed} == {"one"}
