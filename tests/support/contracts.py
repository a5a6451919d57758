"""Random contracts with random values of theirs: what the round trip of payloads is tested on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import pathlib
import uuid
from collections import deque
from decimal import Decimal
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from application_sdk.contracts import FileReference, MaxItems, Output, Record, SerializableEnum

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


_offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
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
    Kind(int | str, st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5)),
    Kind(Point, st.tuples(st.floats(allow_nan=False), st.none() | st.text(max_size=5)).map(lambda p: Point(*p))),
    Kind(Named, st.text(max_size=5).map(lambda text: Named(id=text, note=text)), False),
    Kind(Plain, st.lists(st.integers(), max_size=_ITEMS).map(lambda n: Plain(count=len(n), parts=tuple(n))), False),
    Kind(FileReference, st.integers(0).map(lambda size: FileReference(storage_path="a/b", size_bytes=size)), False),
]
KEYS = [kind for kind in LEAVES if kind.annotation in (str, int, dt.date, dt.datetime, uuid.UUID, Colour, Decimal)]


def _container(inner: Kind) -> st.SearchStrategy[Kind]:
    lists = st.lists(inner.values, max_size=_ITEMS)
    kind = inner.annotation
    choices = [
        Kind(Annotated[list[kind], _BOUND], lists, False),
        Kind(Annotated[tuple[kind, ...], _BOUND], lists.map(tuple), inner.hashable),
        Kind(Annotated[deque[kind], _BOUND], lists.map(deque), False),
        Kind(tuple[kind, str], st.tuples(inner.values, st.text(max_size=5)), inner.hashable),
        Kind(kind | None, inner.values | st.none(), inner.hashable),
        *(
            Kind(
                Annotated[dict[key.annotation, kind], _BOUND],
                st.dictionaries(key.values, inner.values, max_size=_ITEMS),
                False,
            )
            for key in KEYS
        ),
    ]
    if inner.hashable:
        choices.append(Kind(Annotated[set[kind], _BOUND], st.sets(inner.values, max_size=_ITEMS), False))
        choices.append(Kind(Annotated[frozenset[kind], _BOUND], st.frozensets(inner.values, max_size=_ITEMS)))
    return st.sampled_from(choices)


def _nested(inner: Kind) -> st.SearchStrategy[Kind]:
    model = create_model("Nested", __base__=Record, inner=(inner.annotation, Field(alias="theInner")))
    return st.just(Kind(model, inner.values.map(lambda value: model(id="1", inner=value)), False))


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


def same(one: object, other: object) -> bool:
    """Equal in value and type, all the way down. Written apart from the code under test."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        return same(dict(one), dict(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(
            any(same(key, twin) and same(one[key], other[twin]) for twin in other) for key in one
        )
    if isinstance(one, list | tuple | deque) and isinstance(other, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset) and isinstance(other, set | frozenset):
        return len(one) == len(other) and all(any(same(item, twin) for twin in other) for item in one)
    if isinstance(one, dt.datetime | dt.time) and isinstance(other, dt.datetime | dt.time):
        return one == other and one.utcoffset() == other.utcoffset()
    if isinstance(one, Point) and isinstance(other, Point):
        return same((one.x, one.label), (other.x, other.label))
    return one == other
