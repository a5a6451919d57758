"""The one JSON that a value has: what `contracts.codec` writes, whatever process, engine or JSON library is between.

The identity of a call rests on it. JSON libraries differ in numbers and in the order of keys, sets have no order at
all, so: keys are sorted, sets are sorted lists, a number is written in the way that survives doubles and 64-bit
integers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from typing import Final

from pydantic import BaseModel

from application_sdk.wire.digest import JSON, canonical_json

EXACT_INTEGERS: Final = 2**53 - 1
"""The largest whole number up to which every double, and so every JSON library, tells all whole numbers apart."""
_WRITTEN_OUT_BELOW: Final = 1e21


def normal_form(written: object, value: object) -> JSON:
    """`written`, which pydantic made of `value`, in normal form. `value` tells which lists were sets."""
    kind = type(written)
    if kind is str or kind is bool or written is None:
        return written  # type: ignore[return-value]
    if isinstance(written, dict):
        parts = zip(written.items(), values_of(_without_root(value), written), strict=True)
        found = {str(key): item if type(item) is str else normal_form(item, part) for (key, item), part in parts}
        return {key: found[key] for key in sorted(found)}
    if isinstance(written, list | tuple | deque):
        value = _without_root(value)
        parts = zip(written, items_of(value, len(written)), strict=True)
        items = [normal_form(item, part) for item, part in parts]
        return sorted(items, key=canonical_json) if isinstance(value, set | frozenset) else items
    if isinstance(written, int):
        return int(written) if -EXACT_INTEGERS <= written <= EXACT_INTEGERS else str(int(written))
    if isinstance(written, float):
        return _number(written)
    if isinstance(written, str):
        return str(written)
    raise ValueError(f"a serializer returned {kind.__name__}, which JSON doesn't have")


def _number(number: float) -> JSON:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if not number.is_integer() or abs(number) >= _WRITTEN_OUT_BELOW:
        return number
    return int(number) if abs(number) <= EXACT_INTEGERS else int(Decimal(repr(number)))


def _without_root(value: object) -> object:
    while isinstance(value, BaseModel) and type(value).__pydantic_root_model__:
        value = getattr(value, "root", None)
    return value


def items_of(value: object, count: int) -> Iterable[object]:
    """What `count` written items came from; unknown where a serializer of the user's own was at work."""
    if isinstance(value, list | tuple | deque | set | frozenset) and len(value) == count:
        return value
    return repeat(None, count)


def values_of(value: object, written: Mapping[object, object]) -> Iterable[object]:
    """What the values of a written object came from, in its order."""
    if isinstance(value, BaseModel):
        names, present = _names(type(value)), value.__dict__
        return [present.get(names.get(key, "")) for key in written]
    if isinstance(value, dict):
        return value.values() if len(value) == len(written) else repeat(None, len(written))
    return [getattr(value, str(key), None) for key in written]


@lru_cache(maxsize=1024)
def _names(model: type[BaseModel]) -> dict[object, str]:
    """Attribute names by the keys that they are written under."""
    return {field.serialization_alias or name: name for name, field in model.model_fields.items()}
