"""Whether two values are the same, types included, and if not, where they first differ. Used by `contracts.codec`.

Stricter than `==` where JSON forgets: True is not 1, a subclass is not its base, a tuple is not a list, 9:00 in Paris
is not 8:00 in London. NaN is NaN. An int and a float of the same value are one number, as in all of Python's typing.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from datetime import datetime, time
from typing import NamedTuple

from pydantic import BaseModel

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
        same = kind in _NUMBERS and type(again) in _NUMBERS and value == again
    elif kind in _PLAIN:
        same = value == again
    elif isinstance(value, BaseModel):
        return _models(value, again)
    elif isinstance(value, dict) and isinstance(again, dict):
        if value.keys() == again.keys():
            return _each((f"{{{key}}}", item, again[key]) for key, item in value.items())
        same = False
    elif isinstance(value, list | tuple | deque) and isinstance(again, list | tuple | deque):
        if len(value) == len(again):
            return _items(value, again)
        same = False
    elif isinstance(value, float):
        same = value == again or (value != value and again != again)
    elif isinstance(value, datetime | time) and isinstance(again, datetime | time):
        same = value == again and value.utcoffset() == again.utcoffset()
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return _each((f".{name}", getattr(value, name), getattr(again, name)) for name in names)
    else:
        same = value == again
    return None if same else _Difference(value, again, [])


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
    kind, other = type(value).__name__, type(again).__name__
    if isinstance(value, type(again)) and kind != other:
        reason = f"{kind} is more than the declared {other}, which is all that would be read back."
        remedy = f"Declare {kind}, or a union of the classes that may come."
    else:
        reason = f"it would read back as {excerpt(again)}{f' ({other})' if kind != other else ''}."
        remedy = "Declare the type that the value has, or make the value of the declared type."
    return Problem(path, f"{excerpt(value)}{f' ({kind})' if kind != other else ''}", reason, remedy)
