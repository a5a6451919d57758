"""Random contracts with random values of theirs: what the round trip of payloads is tested on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import math
import operator
import pathlib
import uuid
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from hypothesis import reject
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, create_model

from application_sdk.contracts import (
    FileReference,
    Input,
    MaxItems,
    Output,
    PayloadSafetyError,
    Record,
    SerializableEnum,
)

_ITEMS = 4
_BOUND = MaxItems(_ITEMS)


class Colour(SerializableEnum):
    RED = enum.auto()
    GREEN = enum.auto()


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    label: str | None = None


class Named(Record):
    note: str = ""


class Plain(BaseModel):
    count: int
    parts: Annotated[tuple[int, ...], _BOUND] = ()


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type, and values of it."""

    annotation: Any
    values: st.SearchStrategy[Any]
    hashable: bool = True


class Pet(Record):
    """Stands in unions with `Owner`, which has a field more, and with `Bill`, whose fields have other types."""

    number: int


class Owner(Record):
    number: int
    phone: str | None = None


class Bill(Record):
    number: str


class Stop(Record):
    kind: Literal["stop"] = "stop"
    number: int = 0


class Go(Record):
    kind: Literal["go"] = "go"
    number: int = 0


class Strict(Output):
    """Reads nothing but numbers as numbers."""

    model_config = ConfigDict(strict=True)

    whole: int
    real: float
    either: int | str


class Metres(BaseModel):
    """Stands in unions with `Feet`: what tells them apart is further in, and equals its default there."""

    class Size(BaseModel):
        m: int = 0

    size: Size = Size()


class Feet(BaseModel):
    class Size(BaseModel):
        ft: int = 0

    size: Size = Size()


class ByMember(BaseModel):
    """Stands in unions with `ByText`: the Literals differ, and are written alike."""

    kind: Literal[Colour.RED] = Colour.RED
    a: int = 0


class ByText(BaseModel):
    kind: Literal["red"] = "red"
    b: int = 0


Item = TypeVar("Item")


class Page(Record, Generic[Item]):
    items: Annotated[list[Item], _BOUND]
    first: Item | None = None


_ZONES = st.sampled_from(
    [ZoneInfo(name) for name in ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca")]
)
_TURNS = st.sampled_from(
    [
        dt.datetime(2026, 11, 1, 1, 30),
        dt.datetime(2026, 3, 8, 2, 30),
        dt.datetime(2026, 10, 25, 2, 30),
        dt.datetime(2026, 3, 29, 2, 30),
        dt.datetime(2026, 4, 5, 1, 45),
        dt.datetime(2026, 10, 4, 2, 15),
        dt.datetime(2026, 2, 15, 2, 30),
    ]
)
"""Hours that a zone repeats or skips."""
TURNING = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), _TURNS | st.datetimes(), _ZONES, st.integers(0, 1)
).filter(lambda at: at.utcoffset() % dt.timedelta(minutes=1) == dt.timedelta(0))
_offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
MARKED = st.sampled_from(["12", "NaN", "apprun.dev/number:7", "apprun.dev/number:=x", "apprun.dev/number:"])
"""Text that looks like a number, and text that looks like how numbers are written that JSON can't carry."""
_ids = st.text(max_size=3)
_owners = st.builds(Owner, id=_ids, number=st.integers(), phone=st.none() | _ids)
_bills = st.builds(Bill, id=_ids, number=_ids | MARKED | st.integers().map(str))
_zones = st.none() | st.just(dt.UTC) | _offsets

LEAVES = [
    Kind(str, st.text(max_size=20)),
    Kind(int, st.integers()),
    Kind(float, st.floats(), hashable=False),
    Kind(bool, st.booleans()),
    Kind(Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    Kind(dt.date, st.dates()),
    Kind(dt.datetime, st.datetimes(timezones=_zones)),
    Kind(dt.time, st.times(timezones=_zones)),
    Kind(dt.timedelta, st.timedeltas()),
    Kind(uuid.UUID, st.uuids()),
    Kind(Colour, st.sampled_from(Colour)),
    Kind(Level, st.sampled_from(Level)),
    Kind(Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    Kind(pathlib.Path, st.sampled_from(["/tmp/a", "b/c", "."]).map(pathlib.Path)),
    Kind(dt.datetime, TURNING),
    Kind(AwareDatetime, TURNING),
    Kind(dt.time, TURNING.map(dt.datetime.timetz)),
    Kind(int | str, st.integers() | st.text(max_size=5) | MARKED),
    Kind(str, MARKED),
    Kind(float | str, st.floats() | st.text(max_size=5) | st.just("NaN"), hashable=False),
    Kind(int | Decimal, st.integers() | st.decimals(allow_nan=False, allow_infinity=False)),
    Kind(bool | int | None, st.booleans() | st.integers() | st.none()),
    Kind(Annotated[int, Field(strict=True)], st.integers()),
    Kind(Annotated[float, Field(strict=True)], st.floats(), hashable=False),
    Kind(Literal["auto"] | dt.date, st.just("auto") | st.dates()),
    Kind(Pet | Owner, st.builds(Pet, id=_ids, number=st.integers()) | _owners, False),
    Kind(Pet | Bill, st.builds(Pet, id=_ids, number=st.integers()) | _bills, False),
    Kind(Stop | Go, st.builds(Stop, id=_ids) | st.builds(Go, id=_ids), False),
    Kind(Annotated[list[int], _BOUND] | int, st.lists(st.integers(), max_size=_ITEMS) | st.integers(), False),
    Kind(Strict, st.builds(Strict, whole=st.integers(), real=st.floats(), either=st.integers() | MARKED), False),
    Kind(Point, st.tuples(st.floats(allow_nan=False), st.none() | st.text(max_size=5)).map(lambda p: Point(*p))),
    Kind(Named, st.text(max_size=5).map(lambda text: Named(id=text, note=text)), False),
    Kind(Plain, st.lists(st.integers(), max_size=_ITEMS).map(lambda n: Plain(count=len(n), parts=tuple(n))), False),
    Kind(FileReference, st.integers(0).map(lambda size: FileReference(storage_path="a/b", size_bytes=size)), False),
]
KEYS = [kind for kind in LEAVES if kind.annotation in (str, int, dt.date, dt.datetime, uuid.UUID, Colour, Decimal)]


def _are_told_apart(items: Iterable[object]) -> bool:
    """Whether no two times are of one instant and offset: `==` and `hash` may call them different all the same."""
    texts = [repr(_without_zones(item)) for item in items]
    return len(texts) == len(set(texts))


def _without_zones(item: object) -> object:
    if isinstance(item, dt.datetime | dt.time):
        return item.isoformat()
    if isinstance(item, tuple):
        return tuple(map(_without_zones, item))
    return sorted(map(repr, map(_without_zones, item))) if isinstance(item, frozenset) else item


def _container(inner: Kind) -> st.SearchStrategy[Kind]:
    lists = st.lists(inner.values, max_size=_ITEMS)
    annotation = inner.annotation
    choices = [
        Kind(Annotated[list[annotation], _BOUND], lists, False),
        Kind(Annotated[tuple[annotation, ...], _BOUND], lists.map(tuple), inner.hashable),
        Kind(Annotated[deque[annotation], _BOUND], lists.map(deque), False),
        Kind(tuple[annotation, str], st.tuples(inner.values, st.text(max_size=5)), inner.hashable),
        Kind(annotation | None, inner.values | st.none(), inner.hashable),
        *(
            Kind(
                Annotated[dict[key.annotation, annotation], _BOUND],
                st.dictionaries(key.values, inner.values, max_size=_ITEMS).filter(_are_told_apart),
                False,
            )
            for key in KEYS
        ),
    ]
    if inner.hashable:
        choices.append(
            Kind(
                Annotated[set[annotation], _BOUND],
                st.sets(inner.values, max_size=_ITEMS).filter(_are_told_apart),
                False,
            )
        )
        frozen = st.frozensets(inner.values, max_size=_ITEMS).filter(_are_told_apart)
        choices.append(Kind(Annotated[frozenset[annotation], _BOUND], frozen))
    return st.sampled_from(choices)


def _nested(inner: Kind) -> st.SearchStrategy[Kind]:
    model = create_model("Nested", __base__=Record, inner=(inner.annotation, Field(alias="theInner")))
    page = Page[inner.annotation]
    pages = st.lists(inner.values, max_size=_ITEMS).map(lambda items: page(id="1", items=items))
    return st.just(Kind(model, inner.values.map(lambda value: model(id="1", inner=value)), False)) | st.just(
        Kind(page, pages, False)
    )


kinds = st.recursive(
    st.sampled_from(LEAVES), lambda deeper: deeper.flatmap(lambda kind: _container(kind) | _nested(kind)), max_leaves=3
)


@st.composite
def outputs(draw: st.DrawFn) -> Output:
    """An object of a contract that has never been before."""
    fields = draw(st.lists(kinds, min_size=1, max_size=4))
    model = create_model(
        "Sample", __base__=Output, **{f"field_{n}": (kind.annotation, ...) for n, kind in enumerate(fields)}
    )
    return model(**{f"field_{n}": draw(kind.values) for n, kind in enumerate(fields)})


@dataclasses.dataclass
class Twin:
    id: str
    number: int


class Slot(NamedTuple):
    number: int
    text: str


UNION_MEMBERS = [
    *LEAVES,
    Kind(Twin, st.builds(Twin, id=_ids, number=st.integers())),
    Kind(Slot, st.builds(Slot, st.integers(), st.text(max_size=3))),
    Kind(Bill, _bills),
    Kind(Owner, _owners),
    Kind(Pet, st.builds(Pet, id=_ids, number=st.integers())),
    Kind(Stop, st.builds(Stop, id=_ids)),
    Kind(Metres, st.builds(Metres, size=st.builds(Metres.Size, m=st.integers(0, 1)))),
    Kind(Feet, st.builds(Feet, size=st.builds(Feet.Size, ft=st.integers(0, 1)))),
    Kind(ByMember, st.builds(ByMember, a=st.integers(0, 1))),
    Kind(ByText, st.builds(ByText, b=st.integers(0, 1))),
    Kind(Literal["x", "2026-01-01"], st.sampled_from(["x", "2026-01-01"])),
    *(
        Kind(Annotated[container, _BOUND], values)
        for container, values in (
            (list[int], st.lists(st.integers(), max_size=_ITEMS)),
            (list[str], st.lists(st.text(max_size=3) | MARKED, max_size=_ITEMS)),
            (list[dt.date], st.lists(st.dates(), max_size=_ITEMS)),
            (list[Pet], st.lists(st.builds(Pet, id=_ids, number=st.integers()), max_size=2)),
            (list[Bill], st.lists(_bills, max_size=2)),
            (set[int], st.sets(st.integers(), max_size=_ITEMS)),
            (tuple[int, ...], st.lists(st.integers(), max_size=_ITEMS).map(tuple)),
            (dict[str, int], st.dictionaries(_ids | st.just("number"), st.integers(), max_size=_ITEMS)),
            (dict[str, str], st.dictionaries(_ids | st.just("id"), _ids | MARKED, max_size=_ITEMS)),
        )
    ),
    Kind(tuple[int, str], st.tuples(st.integers(), st.text(max_size=3))),
    Kind(tuple[str, int], st.tuples(st.text(max_size=3) | MARKED, st.integers())),
]


@st.composite
def unions(draw: st.DrawFn) -> Kind:
    """A union of any types, if its definition is accepted."""
    members = draw(st.lists(st.sampled_from(UNION_MEMBERS), min_size=2, max_size=3))
    try:
        annotation = functools.reduce(operator.or_, (kind.annotation for kind in members))
        create_model("Sample", __base__=Output, field=(annotation, ...))
    except PayloadSafetyError:
        reject()
    return Kind(annotation, st.one_of([kind.values for kind in members]), False)


@st.composite
def union_outputs(draw: st.DrawFn) -> Output:
    """A value of a union of any types, if its definition is accepted."""
    union = draw(unions())
    model = create_model("Sample", __base__=Output, field=(union.annotation, ...))
    output: Output = model.model_construct(field=draw(union.values))
    return output


@st.composite
def input_pairs(draw: st.DrawFn) -> tuple[Input, Input]:
    """Two objects of a contract that has never been before, often equal, some of whose fields have defaults."""
    fields: dict[str, Any] = {}
    values: dict[str, tuple[Any, Any]] = {}
    for number in range(draw(st.integers(1, 3))):
        field_type = draw(kinds | unions())
        default, first = draw(field_type.values), draw(field_type.values)
        second = draw(st.sampled_from([first, default]) | field_type.values)
        name = f"field_{number}"
        fields[name] = (field_type.annotation, Field(default=default) if draw(st.booleans()) else ...)
        values[name] = draw(st.sampled_from([(first, second), (default, second)]))
    model = create_model("Sample", __base__=Input, **fields)
    one, other = (model(**{name: pair[n] for name, pair in values.items()}) for n in (0, 1))
    return one, other


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | MARKED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


class Anything(Output, allow_unbounded_fields=True):
    value: JsonValue


def same(first: object, other: object) -> bool:
    """Equal in value and type, all the way down. Written apart from the code under test."""
    if type(first) is not type(other):
        return False
    if isinstance(first, float) and isinstance(other, float):
        return first == other or (math.isnan(first) and math.isnan(other))
    if isinstance(first, BaseModel) and isinstance(other, BaseModel):
        return same(dict(first), dict(other))
    if isinstance(first, dict) and isinstance(other, dict):
        return len(first) == len(other) and all(
            any(same(key, twin) and same(first[key], other[twin]) for twin in other) for key in first
        )
    if isinstance(first, list | tuple | deque) and isinstance(other, list | tuple | deque):
        return len(first) == len(other) and all(map(same, first, other))
    if isinstance(first, set | frozenset) and isinstance(other, set | frozenset):
        return len(first) == len(other) and all(any(same(item, twin) for twin in other) for item in first)
    if isinstance(first, dt.datetime | dt.time) and isinstance(other, dt.datetime | dt.time):
        # `==` between zones is never true in an hour that one of them repeats or skips.
        return first.replace(tzinfo=None, fold=0) == other.replace(tzinfo=None, fold=0) and (
            first.utcoffset() == other.utcoffset()
        )
    if isinstance(first, Decimal):
        return str(first) == str(other)  # 1 and 1.0 are equal, and aren't written alike.
    if isinstance(first, Point | Twin) and isinstance(other, Point | Twin):
        return same(vars(first), vars(other))
    return first == other
