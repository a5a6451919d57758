"""What is refused of an input before a pod starts: only what the code would refuse, named by its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from typing_extensions import TypedDict

from application_sdk.contracts import ContractValidationError, FileReference, Input, MaxItems
from application_sdk.contracts.codec import decode
from application_sdk.contracts.schema import schema_of
from apprun_operator.plan.run.input_validation import Fault, faults, format_faults


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Loose(Enum):
    ONE = "one"

    @classmethod
    def _missing_(cls, value: object) -> Loose:
        return cls.ONE


class Point(NamedTuple):
    x: int
    y: int = 0


class Extra(TypedDict, total=False):
    note: str


class Row(BaseModel):
    name: str
    amount: int = 1


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: Annotated[list[str], MaxItems(3)]


class Orders(Input):
    customer: Annotated[str, Field(min_length=2, max_length=8)]
    rows: Annotated[list[Row], MaxItems(3)] = []
    limit: Annotated[int, Field(ge=1, le=10)] = 5
    rate: float = 1.0
    urgent: bool = False
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    day: date | None = None


def problems(value: Any, contract: type[BaseModel] = Orders) -> list[str]:
    return [f"{fault.path} {fault.problem}" for fault in faults(schema_of(contract), value, "spec.input")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "spec.input.customer is missing"),
        ({"customer": 7}, "spec.input.customer is 7, not text"),
        ({"customer": None}, "spec.input.customer is null, not text"),
        ({"customer": "A"}, "spec.input.customer has 1 characters, at least 2 are asked for"),
        ({"customer": "A very long name"}, "spec.input.customer has 16 characters, more than 8"),
        ({"customer": "Ada", "custmer": 1}, "spec.input.custmer is unknown: did you mean customer?"),
        ({"customer": "Ada", "urgnet": True}, "spec.input.urgnet is unknown: did you mean urgent?"),
        ({"customer": "Ada", "rows": {}}, "spec.input.rows is an object, not a list"),
        ({"customer": "Ada", "rows": [{"name": "a"}, {}]}, "spec.input.rows[1].name is missing"),
        ({"customer": "Ada", "rows": [{"name": "a", "amount": "x"}]},
         'spec.input.rows[0].amount is "x", not a whole number'),
        ({"customer": "Ada", "rows": [{"name": "a"}] * 4}, "spec.input.rows has 4 items, more than 3"),
        ({"customer": "Ada", "limit": 0}, "spec.input.limit is 0, less than 1"),
        ({"customer": "Ada", "limit": 1.5}, "spec.input.limit is 1.5, not a whole number"),
        ({"customer": "Ada", "rate": "fast"}, 'spec.input.rate is "fast", not a number'),
        ({"customer": "Ada", "urgent": "maybe"}, 'spec.input.urgent is "maybe", not true or false'),
        ({"customer": "Ada", "colour": "green"}, 'spec.input.colour is "green", not one of "red", "blue"'),
        ({"customer": "Ada", "pet": {"kind": "dog", "tricks": 3}}, "spec.input.pet.tricks is 3, not a list"),
        ({"customer": "Ada", "pet": 3}, "spec.input.pet is 3, not an object or null"),
        ({"customer": "Ada", "day": []}, "spec.input.day is a list, not text or null"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path_with_what_is_wrong(wrong: Any, said: str) -> None:
    with pytest.raises(ContractValidationError):
        decode(Orders, wrong)
    assert problems(wrong) == [said]


@pytest.mark.parametrize(
    "lax",
    [
        {"customer": "  Ada  "},
        {"customer": "Ada", "limit": "3"},
        {"customer": "Ada", "limit": 3.0},
        {"customer": "Ada", "limit": True},
        {"customer": "Ada", "rate": "1e3"},
        {"customer": "Ada", "urgent": "yes"},
        {"customer": "Ada", "urgent": 1},
        {"customer": "Ada", "level": "2"},
        {"customer": "Ada", "level": " +2.0 "},
        {"customer": "Ada", "day": 0},
        {"customer": "Ada", "rows": []},
        {"customer": "Ada", "pet": None},
    ],
)
def test_what_pydantic_reads_laxly_passes(lax: Any) -> None:
    decode(Orders, lax)
    assert problems(lax) == []


class OwnReading(Input):
    """All of these take more than their schema says."""

    model_config = ConfigDict(allow_inf_nan=True)

    words: Annotated[list[str], MaxItems(5), BeforeValidator(lambda v: v.split() if isinstance(v, str) else v)] = []
    number: int = 0
    renamed: str = Field("", alias="reName")
    loose: Loose = Loose.ONE

    @field_validator("number", mode="before")
    @classmethod
    def anything(cls, value: object) -> int:
        return 1


class Flattened(Input):
    name: str

    @model_validator(mode="before")
    @classmethod
    def from_text(cls, value: Any) -> Any:
        return {"name": value["title"]} if "title" in value else value


class Coerced(Input):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: str


@pytest.mark.parametrize(
    ("contract", "value"),
    [
        (OwnReading, {"words": "a b"}),
        (OwnReading, {"number": [1]}),
        (OwnReading, {"renamed": "x"}),
        (OwnReading, {"reName": "x"}),
        (OwnReading, {"loose": "two"}),
        (Flattened, {"title": "x"}),
        (Coerced, {"name": 3}),
    ],
)
def test_what_an_app_reads_in_its_own_way_is_left_to_it(contract: type[BaseModel], value: Any) -> None:
    decode(contract, value)
    assert problems(value, contract) == []


def test_many_faults_are_counted() -> None:
    found = [Fault(f"spec.input.f{n}", "is missing") for n in range(8)]
    assert format_faults(found).endswith("spec.input.f4 is missing; and 3 more")


def test_a_schema_that_was_left_out_or_isnt_understood_refuses_nothing() -> None:
    for schema in ({}, {"type": "mystery"}, {"$ref": "#/$defs/nowhere"}, {"anyOf": [{}, {"type": "null"}]}):
        assert faults(schema, {"a": [1]}, "spec.input") == []


@dataclass
class Plain:
    a: int
    b: str = ""


class Everything(Input, allow_unbounded_fields=True):
    """A field of each kind that inputs are made of."""

    text: str = ""
    number: float = 0
    count: int = 0
    truth: bool = False
    maybe: int | None = None
    either: int | str = 0
    texts: list[str] = []
    unique: set[int] = set()
    pair: tuple[int, str] = (0, "")
    table: dict[str, int] = {}
    point: Point = Point(0)
    extra: Extra = {}
    plain: Plain | None = None
    row: Row | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    choice: Literal["a", 1, True] = "a"
    when: datetime | None = None
    day: date | None = None
    span: timedelta | None = None
    money: Decimal = Decimal(0)
    id: UUID | None = None
    path: Path | None = None
    raw: bytes = b""
    file: FileReference | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    items: Sequence[Row] = []
    free: Any = None


TEXTS = ["", "a", "1", " 2 ", "1.0", "yes", "red", "2020-01-01", "P1D", "cat", "dog", "1_000", "inf", "nan"]
numbers = st.integers(-3, 300) | st.floats(allow_nan=False, allow_infinity=False, width=16)
scalars = st.none() | st.booleans() | numbers | st.sampled_from(TEXTS)
names = st.sampled_from(["name", "amount", "kind", "lives", "tricks", "a", "b", "x", "y", "note", "key"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
EVERYTHING = schema_of(Everything)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(sorted(Everything.model_fields)), values, min_size=1, max_size=3))
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_the_code_takes_is_ever_refused(value: dict[str, Any]) -> None:
    found = faults(EVERYTHING, value, "spec.input")
    if found:
        with pytest.raises(ContractValidationError):
            decode(Everything, value)
