"""`MaxItems`, `BoundedList` and `BoundedDict` hold at run time and stand in the JSON Schema."""

from __future__ import annotations

import collections
import typing as t
from collections import abc

import pytest
from pydantic import Field, ValidationError, create_model

from application_sdk.contracts import BoundedDict, BoundedList, Input, MaxItems, PayloadSafetyError

COLLECTIONS = [
    (list[int], "maxItems"),
    (set[int], "maxItems"),
    (frozenset[int], "maxItems"),
    (tuple[int, ...], "maxItems"),
    (collections.deque[int], "maxItems"),
    (abc.Sequence[int], "maxItems"),
    (dict[int, int], "maxProperties"),
    (abc.Mapping[int, int], "maxProperties"),
]


def items(annotation: object, count: int) -> object:
    return (
        dict.fromkeys(range(count), 0)
        if "dict" in str(annotation) or "Mapping" in str(annotation)
        else list(range(count))
    )


@pytest.mark.parametrize(("annotation", "keyword"), COLLECTIONS, ids=str)
def test_the_limit_holds_and_is_published(annotation: t.Any, keyword: str) -> None:
    contract = create_model("Sample", __base__=Input, field=(t.Annotated[annotation, MaxItems(2)], ...))
    assert contract.model_json_schema()["properties"]["field"][keyword] == 2
    assert contract(field=items(annotation, 2))
    with pytest.raises(ValidationError, match="at most 2 items"):
        contract(field=items(annotation, 3))


def test_the_limit_holds_beside_none() -> None:
    class Sample(Input):
        field: t.Annotated[list[int] | None, MaxItems(2)] = None

    assert Sample().field is None
    assert Sample(field=[1, 2]).field == [1, 2]
    with pytest.raises(ValidationError, match="at most 2 items"):
        Sample(field=[1, 2, 3])
    assert Sample.model_json_schema()["properties"]["field"]["anyOf"][0]["maxItems"] == 2


@pytest.mark.parametrize(
    "annotation",
    [
        t.Annotated[list[int], MaxItems(5), Field(max_length=2)],
        t.Annotated[t.Annotated[list[int], MaxItems(2)] | None, Field(max_length=5)],
        t.Annotated[BoundedList[int, 2], MaxItems(5)],
    ],
    ids=str,
)
def test_two_limits_of_one_collection_are_refused_as_only_one_would_hold(annotation: t.Any) -> None:
    with pytest.raises(PayloadSafetyError, match="several limits, 2 and 5"):
        create_model("Sample", __base__=Input, field=(annotation, ...))


def test_one_limit_for_two_collections_is_refused() -> None:
    with pytest.raises(PayloadSafetyError, match="Give each its own"):

        class Sample(Input):
            field: t.Annotated[list[int] | dict[str, int], MaxItems(5)]


def test_bounded_names_are_shorthand() -> None:
    assert BoundedList[int, 5] == t.Annotated[list[int], MaxItems(5)]
    assert BoundedList[int, t.Literal[5]] == t.Annotated[list[int], MaxItems(5)]
    assert BoundedDict[str, int, 5] == t.Annotated[dict[str, int], MaxItems(5)]


def test_a_bounded_name_without_its_limit_says_how_it_is_written() -> None:
    with pytest.raises(TypeError, match=r"BoundedList\[str, 500\]"):
        BoundedList[str]
    with pytest.raises(TypeError, match=r"BoundedDict\[str, int, 500\]"):
        BoundedDict[str, int]
    with pytest.raises(TypeError, match="whole number, not 'many'"):
        BoundedList[str, "many"]


@pytest.mark.parametrize("limit", [-1, 2.0, True, "5"])
def test_a_limit_is_a_whole_number_from_zero_up(limit: t.Any) -> None:
    with pytest.raises(ValueError, match="the limit is a whole number"):
        MaxItems(limit)


@pytest.mark.parametrize("annotation", [int, str, str | None, tuple[int, int]])
def test_a_limit_of_items_on_what_has_no_items_is_refused(annotation: t.Any) -> None:
    with pytest.raises(PayloadSafetyError, match=r"MaxItems.* limits collections"):
        create_model("Sample", __base__=Input, field=(t.Annotated[annotation, MaxItems(2)], ...))
