"""Whether two values are the same, types included, and if not, where they first differ. Used by `contracts.codec`.

Stricter than `==` where JSON forgets: True is not 1, a subclass is not its base, a tuple is not a list, 9:00 in Paris
is not 8:00 in London. NaN is NaN. An int and a float of the same value are one number, as in all of Python's typing,
as far as floats tell whole numbers apart.

A time is its instant and its offset, not its zone: `==` calls a time of an hour that a zone repeats or skips unequal
to every time of another zone, its own instant included.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple, cast

from pydantic import BaseModel

from application_sdk.contracts.canonical import EXACT_INTEGERS
from application_sdk.contracts.errors import Problem, excerpt

_PLAIN = frozenset({str, bool, type(None), int})
_NUMBERS = frozenset({int, float})


class _Difference(NamedTuple):
    """Where two values differ. The path is put together only when there is something to tell: last part first."""

    value: object
    again: object
    path: list[str]


def first_difference(value: object, again: object, path: str) -> Problem | None:
    """The first place at which `again`, which was read back, is not what `value` is; None when they are the same."""
    found = _compare(value, again)
    if found is None:
        return None
    return _problem(found.value, found.again, path + "".join(reversed(found.path)))


def _compare(value: object, again: object) -> _Difference | None:
    kind = type(value)
    if kind is not type(again):
        same = (
            kind in _NUMBERS
            and type(again) in _NUMBERS
            and value == again
            and abs(cast("float", value)) <= EXACT_INTEGERS
        )
    elif kind in _PLAIN:
        same = value == again
    elif isinstance(value, BaseModel):
        return _models(value, again)
    elif isinstance(value, dict) and isinstance(again, dict):
        if value.keys() == again.keys() and not isinstance(next(iter(value), None), Decimal):
            return _each((f"{{{key}}}", item, again[key]) for key, item in value.items())
        by_key = {_token(key): item for key, item in again.items()}
        if len(value) == len(by_key) and by_key.keys() == {_token(key) for key in value}:
            return _each((f"{{{key}}}", item, by_key[_token(key)]) for key, item in value.items())
        same = False
    elif isinstance(value, list | tuple | deque) and isinstance(again, list | tuple | deque):
        if len(value) == len(again):
            return _items(value, again)
        same = False
    elif isinstance(value, float):
        same = value == again or (value != value and again != again)
    # guard: time-by-offset - two equal instants in two zones aren't the same value to a route
    elif isinstance(value, datetime | time | Decimal):
        same = _token(value) == _token(again)
    elif isinstance(value, set | frozenset) and isinstance(again, set | frozenset):
        equal = value == again and not any(isinstance(item, Decimal) for item in value)
        same = equal or Counter(map(_token, value)) == Counter(map(_token, again))
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return _each((f".{name}", getattr(value, name), getattr(again, name)) for name in names)
    else:
        same = value == again
    return None if same else _Difference(value, again, [])


def _token(item: object) -> object:
    """What stands for an item of a set or a key where the item itself has another identity than it reads back with."""
    if isinstance(item, datetime | time):
        return type(item), item.replace(tzinfo=None, fold=0), item.utcoffset()
    if isinstance(item, Decimal):
        return Decimal, str(item)  # 1 and 1.0 are equal, and aren't written alike.
    if isinstance(item, float) and item != item:
        return float, "NaN"
    if isinstance(item, tuple):
        return type(item), tuple(map(_token, item))
    if isinstance(item, frozenset):
        return type(item), frozenset(Counter(map(_token, item)).items())
    if dataclasses.is_dataclass(item):
        return type(item), tuple(_token(getattr(item, field.name)) for field in dataclasses.fields(item))
    if isinstance(item, BaseModel):
        return type(item), tuple((name, _token(part)) for name, part in item.__dict__.items())
    return item


def _models(value: BaseModel, again: object) -> _Difference | None:
    before, after = value.__dict__, again.__dict__
    for name in type(value).__pydantic_fields__:
        # An object made by model_construct() may lack fields.
        one, other = before.get(name, _Missing), after.get(name, _Missing)
        if type(one) is type(other) is str and one == other:  # most fields are text: spare the call
            continue
        found = _compare(one, other)
        if found is not None:
            found.path.append(f".{name}")
            return found
    return _compare(value.__pydantic_extra__, getattr(again, "__pydantic_extra__", None))


def _items(value: Iterable[object], again: Iterable[object]) -> _Difference | None:
    for index, (one, other) in enumerate(zip(value, again, strict=True)):
        found = _compare(one, other)
        if found is not None:
            found.path.append(f"[{index}]")
            return found
    return None


def _each(parts: Iterable[tuple[str, object, object]]) -> _Difference | None:
    for step, one, other in parts:
        found = _compare(one, other)
        if found is not None:
            found.path.append(step)
            return found
    return None


class _Missing:
    """Stands for a field that was never set."""


def _problem(value: object, again: object, path: str) -> Problem:
    if value is _Missing:
        return Problem(path, "", "the field was never set.", "Make the object by calling its class.")
    if isinstance(value, datetime | time) and isinstance(again, datetime | time) and _has_seconds(value.utcoffset()):
        reason = (
            f"its offset from UTC, {value.utcoffset()}, isn't one of whole minutes, which JSON's form of times has."
        )
        return Problem(path, excerpt(value), reason, "Store value.astimezone(UTC), which is the same instant.")
    kind, other = type(value).__name__, type(again).__name__
    if isinstance(value, type(again)) and kind != other:
        reason = f"{kind} is more than the declared {other}, which is all that would be read back."
        remedy = f"Declare {kind}, or a union of the classes that may come."
    else:
        reason = f"it would read back as {excerpt(again)}{f' ({other})' if kind != other else ''}."
        remedy = "Declare the type that the value has, or make the value of the declared type."
    return Problem(path, f"{excerpt(value)}{f' ({kind})' if kind != other else ''}", reason, remedy)


def _has_seconds(offset: timedelta | None) -> bool:
    return offset is not None and offset % timedelta(minutes=1) != timedelta(0)
