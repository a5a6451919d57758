"""pydantic's JSON Schema becomes what a CRD accepts, and what can't is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from apprun_operator.api.schema import UntranslatableSchemaError, structural
from apprun_operator.api.shapes import FreeObject, FreeValue, Shape


class Leaf(Shape):
    """A leaf."""

    name: str
    """Its name."""


def properties(model: type[Shape]) -> Any:
    return structural(model)["properties"]


def test_references_are_resolved_and_the_field_describes_itself() -> None:
    class Tree(Shape):
        leaf: Leaf
        """The leaf of this tree."""
        others: list[Leaf]

    assert properties(Tree)["leaf"]["description"] == "The leaf of this tree."
    assert properties(Tree)["leaf"]["properties"]["name"] == {"description": "Its name.", "type": "string"}
    assert properties(Tree)["others"]["items"]["required"] == ["name"]


def test_an_optional_field_is_one_that_may_be_absent() -> None:
    class Tree(Shape):
        leaf: Leaf | None = None
        height: Annotated[int, Field(ge=1)] | None = None

    made = structural(Tree)
    assert "required" not in made
    assert properties(Tree)["height"] == {"type": "integer", "minimum": 1}
    assert properties(Tree)["leaf"]["type"] == "object"


def test_names_are_camel_case() -> None:
    class Tree(Shape):
        leaf_count: int

    assert structural(Tree)["required"] == ["leafCount"]


def test_a_single_literal_is_an_enum() -> None:
    class Tree(Shape):
        kind: Literal["oak"]

    assert properties(Tree)["kind"]["enum"] == ["oak"]


def test_free_values_keep_what_they_are_given() -> None:
    class Tree(Shape):
        anything: FreeValue
        fields: FreeObject

    preserve = {"x-kubernetes-preserve-unknown-fields": True}
    assert properties(Tree) == {"anything": preserve, "fields": {"type": "object", **preserve}}


def test_descriptions_are_one_paragraph() -> None:
    class Tree(Shape):
        height: int
        """How high
        it is."""

    assert properties(Tree)["height"]["description"] == "How high it is."


def test_a_choice_of_types_is_refused_with_its_place() -> None:
    class Tree(Shape):
        height: int | str

    with pytest.raises(UntranslatableSchemaError, match=r"Tree\.height: a CRD can't say anyOf"):
        structural(Tree)


@pytest.mark.parametrize("bound", [{"gt": 0}, {"multiple_of": 2}], ids=str)
def test_a_bound_that_would_get_lost_is_refused(bound: dict[str, Any]) -> None:
    class Tree(Shape):
        height: Annotated[int, Field(**bound)]

    with pytest.raises(UntranslatableSchemaError, match=r"Tree\.height: a CRD can't say"):
        structural(Tree)


def test_a_tuple_is_refused() -> None:
    class Tree(Shape):
        pair: tuple[int, str]

    with pytest.raises(UntranslatableSchemaError, match="prefixItems"):
        structural(Tree)
