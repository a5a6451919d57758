"""The one JSON that a value has: what `contracts.codec` writes, whatever process, engine or JSON library is between.

The identity of a call rests on it. JSON libraries differ in numbers and in the order of keys, sets have no order at
all, so: keys are sorted, sets are sorted lists, a number is written in the way that survives doubles and 64-bit
integers.

In that form a large whole number and NaN are text, and where a type allows text as well, as `int | str` and `JsonValue`
do, they would be read as text. Such values are written in the *exact* form: numbers of 64 bits as they are, others as
marked text, which `restored` makes numbers of again. All other values are written as they have always been.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from typing import Final

from pydantic import BaseModel

from application_sdk.wire.digest import JSON, canonical_json
from application_sdk.wire.names import EXACT_NUMBER

EXACT_INTEGERS: Final = 2**53 - 1
"""The largest whole number up to which every double, and so every JSON library, tells all whole numbers apart."""
_WRITTEN_OUT_BELOW: Final = 1e21
_SIXTY_FOUR_BITS: Final = 2**63
_TEXT: Final = "="
"""Follows the mark where what comes after it is text: text that begins with the mark is itself written with it."""
MARK: Final = EXACT_NUMBER.encode()


def normal_form(written: object, value: object, *, exact: bool = False) -> JSON:
    """`written`, which pydantic made of `value`, in normal form. `value` tells which lists were sets.

    With `exact` in the exact form.
    """
    kind = type(written)
    if kind is bool or written is None or (kind is str and not exact):
        return written  # type: ignore[return-value]
    if isinstance(written, dict):
        parts = zip(written.items(), values_of(_without_root(value), written), strict=True)
        found = {
            str(key): item if type(item) is str and not exact else normal_form(item, part, exact=exact)
            for (key, item), part in parts
        }
        return {key: found[key] for key in sorted(found)}
    if isinstance(written, list | tuple | deque):
        value = _without_root(value)
        parts = zip(written, items_of(value, len(written)), strict=True)
        items = [normal_form(item, part, exact=exact) for item, part in parts]
        return sorted(items, key=canonical_json) if isinstance(value, set | frozenset) else items
    if isinstance(written, int):
        if -EXACT_INTEGERS <= written <= EXACT_INTEGERS:
            return int(written)
        return _marked_integer(int(written)) if exact else str(int(written))
    if isinstance(written, float):
        return _number(written, exact)
    if isinstance(written, str):
        return _escaped(str(written)) if exact else str(written)
    raise ValueError(f"a serializer returned {kind.__name__}, which JSON doesn't have")


def _number(number: float, exact: bool) -> JSON:
    if exact and (not math.isfinite(number) or EXACT_INTEGERS < abs(number) < _WRITTEN_OUT_BELOW):
        return _marked_float(float(number))
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if not number.is_integer() or abs(number) >= _WRITTEN_OUT_BELOW:
        return number
    return int(number) if abs(number) <= EXACT_INTEGERS else int(Decimal(repr(number)))


def restored(payload: JSON) -> JSON:
    """`payload` with the numbers that its marks stand for. They may be more than JSON can carry."""
    if isinstance(payload, str):
        return _unmarked(payload) if payload.startswith(EXACT_NUMBER) else payload
    if isinstance(payload, dict):
        return {key: restored(value) for key, value in payload.items()}
    if isinstance(payload, list):
        return [restored(value) for value in payload]
    return payload


def _unmarked(text: str) -> JSON:
    rest = text[len(EXACT_NUMBER) :]
    if rest.startswith(_TEXT):
        return rest[len(_TEXT) :]
    for read in (int, float):
        try:
            return read(rest)
        except ValueError:
            continue
    return text


def _marked_integer(number: int) -> JSON:
    """A whole number that doubles don't keep: as it is while 64 bits hold it."""
    return number if -_SIXTY_FOUR_BITS <= number < _SIXTY_FOUR_BITS else f"{EXACT_NUMBER}{number}"


def _marked_float(number: float) -> str:
    """A float that JSON has no form for, or one that would be read as a whole number."""
    return f"{EXACT_NUMBER}{number!r}"


def _escaped(text: str) -> str:
    """Text, told apart from a marked number."""
    return f"{EXACT_NUMBER}{_TEXT}{text}" if text.startswith(EXACT_NUMBER) else text


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
        if value.__pydantic_extra__:
            present = {**value.__pydantic_extra__, **present}
        return [present.get(names.get(key, str(key))) for key in written]
    if isinstance(value, dict):
        return value.values() if len(value) == len(written) else repeat(None, len(written))
    if dataclasses.is_dataclass(value):
        attributes = [field.name for field in dataclasses.fields(value)]
        # Keys that are aliases: pydantic writes the fields in their order.
        aliased = (name for name in attributes if name not in written)
        return [getattr(value, str(key) if key in attributes else next(aliased, ""), None) for key in written]
    return [getattr(value, str(key), None) for key in written]


@lru_cache(maxsize=1024)
def _names(model: type[BaseModel]) -> dict[object, str]:
    """Attribute names by the keys that they are written under."""
    return {field.serialization_alias or name: name for name, field in model.model_fields.items()}
