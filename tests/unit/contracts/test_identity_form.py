"""What counts of a task's input: all but what equals a default that is known."""

from __future__ import annotations

import dataclasses
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model, field_serializer
from typing_extensions import TypeAliasType

from application_sdk.contracts import Input, MaxItems, SerializableEnum
from application_sdk.contracts.codec import decode, encode
from application_sdk.contracts.identity_form import encode_call
from application_sdk.wire.digest import JSON, digest


class Place(BaseModel):
    city: str
    country: str = "DE"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: int = 0


class Plain(BaseModel):
    x: int = 0


class Other(BaseModel):
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Weight:
    grams: int
    unit: str = "g"


class Everything(Input, allow_unbounded_fields=True):
    name: str
    limit: int = 10
    ratio: float = 1
    place: Place | None = None
    places: list[Place] = Field(default_factory=list)
    by_name: dict[str, Place] = Field(default_factory=dict)
    weights: frozenset[Weight] = frozenset()
    pet: Cat | Dog = Field(default_factory=Cat)
    either: Plain | Other | None = None
    alias: int = Field(default=1, alias="aliasName")


def counted(value: Input) -> JSON:
    return encode_call(value, type(value)).counted


def test_what_equals_its_default_is_left_out() -> None:
    assert counted(Everything(name="a", pet=Dog())) == {"name": "a", "pet": {"kind": "dog"}}
    assert counted(Everything(name="a", pet=Dog(), limit=11, aliasName=2)) == {
        "name": "a", "limit": 11, "aliasName": 2, "pet": {"kind": "dog"},
    }  # fmt: skip


def test_nested_models_follow_the_same_rule() -> None:
    value = Everything(
        name="a",
        pet=Dog(tricks=1),
        place=Place(city="X"),
        places=[Place(city="Y", country="FR"), Place(city="Z")],
        by_name={"b": Place(city="B"), "a": Place(city="A")},
        weights=frozenset({Weight(2, "kg"), Weight(1)}),
    )
    assert counted(value) == {
        "name": "a",
        "pet": {"kind": "dog", "tricks": 1},
        "place": {"city": "X"},
        "places": [{"city": "Y", "country": "FR"}, {"city": "Z"}],
        "by_name": {"a": {"city": "A"}, "b": {"city": "B"}},
        "weights": [{"grams": 1}, {"grams": 2, "unit": "kg"}],
    }  # fmt: skip


def test_classes_that_nothing_tells_apart_keep_their_fields() -> None:
    forms = [counted(Everything(name="a", either=one)) for one in (Plain(), Other(), None)]
    assert [form.get("either") for form in forms if isinstance(form, dict)] == [{"x": 0}, {"y": 0}, None]


def test_the_payload_is_whole() -> None:
    value = Everything(name="a")
    assert encode_call(value, Everything).payload == encode(value)


class Metres(BaseModel):
    size: Plain = Plain()


class Feet(BaseModel):
    size: Other = Other()


class Colour(SerializableEnum):
    RED = "red"


class ByMember(BaseModel):
    kind: Literal[Colour.RED] = Colour.RED
    a: int = 0


class ByText(BaseModel):
    kind: Literal["red"] = "red"
    b: int = 0


class Mixed(Input):
    length: Metres | Feet | None = None
    colour: ByMember | ByText | None = None


def test_what_tells_classes_apart_further_in_is_kept() -> None:
    assert counted(Mixed(length=Metres())) == {"length": {"size": {"x": 0}}}
    assert counted(Mixed(length=Feet())) == {"length": {"size": {"y": 0}}}


def test_literals_that_are_written_alike_tell_nothing_apart() -> None:
    assert counted(Mixed(colour=ByMember())) == {"colour": {"kind": "red", "a": 0}}
    assert counted(Mixed(colour=ByText())) == {"colour": {"kind": "red", "b": 0}}


class Number(Input):
    number: int


class NumberAndMore(Number):
    more: int | str = 2**70


@pytest.mark.parametrize("number", [1, 2**60, -(2**70)])
def test_an_added_default_of_any_size_changes_no_number(number: int) -> None:
    assert counted(Number(number=number)) == counted(NumberAndMore(number=number))


class Priced(Input):
    price: Decimal = Decimal(1)
    prices: Annotated[set[Decimal], MaxItems(9)] = {Decimal(1)}
    by_price: Annotated[dict[Decimal, int], MaxItems(9)] = {Decimal(1): 1}


def test_a_decimal_with_more_digits_than_its_default_counts() -> None:
    longer = Decimal("1.0")
    assert counted(Priced(price=longer, prices={longer}, by_price={longer: 1})) == {
        "price": "1.0", "prices": ["1.0"], "by_price": {"1.0": 1},
    }  # fmt: skip


class Listed(Input):
    numbers: Annotated[list[int], MaxItems(9)] = Field(default_factory=list[int])
    by_comprehension: Annotated[list[int], MaxItems(9)] = Field(default_factory=lambda: [n for n in (1, 2)])  # noqa: C416


def test_factories_count_alike_in_each_version_of_python() -> None:
    assert counted(Listed()) == {"by_comprehension": [1, 2]}


Away = TypeAliasType("Away", Place)
if sys.version_info >= (3, 12):
    from typing import TypeAliasType as BuiltinAlias

    Away = BuiltinAlias("Away", Place)


class Aliased(Input):
    place: Away
    where: Path | Place


def test_types_are_looked_through_in_each_version_of_python() -> None:
    place = Place(city="X")
    assert counted(Aliased(place=place, where=place)) == {"place": {"city": "X"}, "where": {"city": "X"}}


ZONE = "DE"


class Stamped(Input):
    zone: str = Field(default_factory=lambda: ZONE)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    id: UUID = Field(default_factory=uuid4)
    day: int = Field(default_factory=lambda: 3)


def test_a_default_that_is_made_anew_counts() -> None:
    form = counted(Stamped())
    assert isinstance(form, dict)
    assert form.keys() == {"zone", "at", "id"}  # The zone may be another tomorrow.


class Written(Input):
    a: int = 1
    b: int = 2

    @field_serializer("a")
    def write(self, a: int) -> int:
        return a


def test_a_field_with_a_serializer_of_its_class_counts() -> None:
    assert counted(Written()) == {"a": 1}


SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**70), 2**70)),
    (str, st.text(max_size=5)),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False)),
    (int | None, st.none() | st.integers(0, 3)),
    (Place, st.builds(Place, city=st.text(max_size=2), country=st.sampled_from(["DE", "FR"]))),
    (list[Place], st.lists(st.builds(Place, city=st.text(max_size=2)), max_size=2)),
    (Cat | Dog, st.builds(Cat, lives=st.integers(8, 9)) | st.builds(Dog, tricks=st.integers(0, 1))),
    (Plain | Other, st.builds(Plain, x=st.integers(0, 1)) | st.builds(Other, y=st.integers(0, 1))),
]


SLOW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
"""Each example makes two classes."""


@st.composite
def evolutions(draw: st.DrawFn) -> tuple[type[Input], type[Input], dict[str, Any], dict[str, Any]]:
    """A class, the same with fields that were added, values for the first, and other values for it."""
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 4))):
        kind, strategy = draw(st.sampled_from(SCALARS))
        name = f"f{number}"
        fields[name] = (kind, draw(strategy)) if draw(st.booleans()) else (kind, ...)
        values[name], others[name] = draw(strategy), draw(strategy)
    added = dict(fields)
    for number in range(draw(st.integers(1, 3))):
        kind, strategy = draw(st.sampled_from(SCALARS))
        added[f"a{number}"] = (kind, draw(strategy))
    old = create_model("Evolving", __base__=Input, __cls_kwargs__={"allow_unbounded_fields": True}, **fields)
    new = create_model("Evolving", __base__=Input, __cls_kwargs__={"allow_unbounded_fields": True}, **added)
    return old, new, values, others


@SLOW
@given(evolutions())
def test_adding_fields_with_defaults_changes_no_digest(evolution: Any) -> None:
    old, new, values, _ = evolution
    assert digest(counted(old(**values))) == digest(counted(new(**values)))


@SLOW
@given(evolutions())
def test_digests_are_equal_exactly_when_the_values_are(evolution: Any) -> None:
    _, new, values, others = evolution
    one, other = new(**values), new(**others)
    assert (digest(counted(one)) == digest(counted(other))) == (encode(one) == encode(other))
    again = decode(new, encode(one))
    assert digest(counted(again)) == digest(counted(one))


@pytest.mark.parametrize("annotation", [Annotated[Place, "note"], "Place | None", list[Place]])
def test_declared_types_are_looked_through(annotation: Any) -> None:
    model = create_model(
        "Holder",
        __base__=Input,
        __module__=__name__,
        __cls_kwargs__={"allow_unbounded_fields": True},
        held=(annotation, ...),
    )
    place = Place(city="X")
    form = counted(model(held=[place] if annotation == list[Place] else place))
    assert form == {"held": [{"city": "X"}] if annotation == list[Place] else {"city": "X"}}
