"""What counts of a task's input: its normal form without what equals its default. Version 2 of the replay rules.

A field with a default may so be added to an Input while runs are under way: earlier calls, which didn't have it, stay
the same calls. The form is a wire format:

1. A field of a model or dataclass is left out when its value equals its default, types included, and the default is
   known: written in the class, or made by a factory that can make nothing else (`list`, `dict`, a lambda of constants).
2. This holds at each level whose class follows from the declared types: fields, items of collections, values of
   mappings.
3. Where a union declares several classes, an object keeps the field that tells them apart: the first that all of them
   have with different `Literal` values. Without such a field it is left as it is, with all that is in it.
4. A class that writes itself (`model_serializer`) is left as it is; a field with a serializer of its own isn't left out
   (`field_serializer`), or only as a whole (`PlainSerializer` and the like).
5. Numbers are written in the exact form (`contracts.canonical`), whichever form the payload has: which one that is
   depends on all fields, those that are left out included.

So two values of one declared type have the same form exactly when they are equal.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import FunctionType
from typing import Any, Final, NamedTuple, cast, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from application_sdk.contracts.canonical import items_of, normal_form, values_of
from application_sdk.contracts.codec import written
from application_sdk.contracts.roundtrip import first_difference
from application_sdk.contracts.shapes import (
    NOTHING,
    Shape,
    fields_that_write_themselves,
    is_dataclass,
    shape_of,
    writes_itself,
)
from application_sdk.wire.digest import JSON, JSONObject, canonical_json

_CONSTANT_FACTORIES: Final = (list, dict, set, frozenset, tuple, deque, str, int, float, bool, bytes)
_PLAIN: Final = frozenset({str, int, bool, float, type(None)})


class _Unknown:
    """Stands for a default that isn't known, or that there isn't."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """One field, by the key that it is written under."""

    attribute: str
    default: object
    shape: Shape


class EncodedCall(NamedTuple):
    """An input as a call of a task has it."""

    payload: JSONObject
    counted: JSONObject
    """The part that the call's identity rests on."""


def encode_call(value: BaseModel, declared: type[BaseModel]) -> EncodedCall:
    """The JSON object of a task's input, and the part of it that the identity of a call rests on.

    Raises ContractValidationError, as `codec.encode` does.
    """
    raw, payload, exact = written(value, declared)
    if _is_whole(declared):
        if exact:
            return EncodedCall(payload, payload)
        form = normal_form(raw, value, exact=True)
        return EncodedCall(payload, form if form != payload and isinstance(form, dict) else payload)
    form = _object(raw, value, frozenset())
    return EncodedCall(payload, form if isinstance(form, dict) else payload)


def _exact(raw: object, value: object) -> JSON:
    # guard: numbers-count-exactly - a field that is left out would change how the numbers of others are written
    return normal_form(raw, value, exact=True)


def _form(raw: object, value: object, shape: Shape) -> JSON:
    if shape is NOTHING or raw is None:
        return _exact(raw, value)
    if isinstance(raw, dict):
        if isinstance(value, dict) and shape.values is not None and len(value) == len(raw):
            values = zip(raw.items(), value.values(), strict=True)
            return _sorted({str(key): _form(item, part, shape.values) for (key, item), part in values})
        if (kept := shape.classes.get(type(value))) is not None:
            return _object(raw, value, kept)
        return _exact(raw, value)
    if isinstance(raw, list | tuple | deque):
        if (kept := shape.classes.get(type(value))) is not None:
            return _object(raw, value, kept)
        if shape.items is None or not isinstance(value, list | tuple | deque | set | frozenset):
            return _exact(raw, value)
        pairs = zip(raw, items_of(value, len(raw)), strict=True)
        items = [_form(item, part, shape.items) for item, part in pairs]
        return sorted(items, key=canonical_json) if isinstance(value, set | frozenset) else items
    return _exact(raw, value)


def _object(raw: object, value: object, kept: frozenset[str]) -> JSON:
    """An object without the fields that equal their defaults, but for those in `kept`."""
    owner = type(value)
    parts = _parts(cast("Any", owner))
    if isinstance(value, BaseModel) and type(value).__pydantic_root_model__:
        if "root" not in parts:
            return _exact(raw, value)
        return _form(raw, getattr(value, "root", None), parts["root"].shape)
    if not isinstance(raw, dict):
        return _exact(raw, value)
    form: dict[str, JSON] = {}
    for (key, item), inner in zip(raw.items(), values_of(value, raw), strict=True):
        part = parts.get(key)
        if part is None:
            form[str(key)] = _exact(item, inner)
        elif key in kept or not _equal(inner, part.default):
            form[str(key)] = _form(item, inner, part.shape)
    return _sorted(form)


def _sorted(form: dict[str, JSON]) -> dict[str, JSON]:
    return {key: form[key] for key in sorted(form)}


def _equal(value: object, default: object) -> bool:
    if default is _Unknown:
        return False
    if type(value) is type(default) and type(value) in _PLAIN:
        return value == default or (value != value and default != default)
    return first_difference(value, default, "") is None


@lru_cache(maxsize=1024)
def _is_whole(model: type[BaseModel]) -> bool:
    """Whether nothing of an object of this class can ever be left out: then its form is its normal form."""
    return all(part.default is _Unknown and not part.shape.reaches() for part in _parts(model).values())


@lru_cache(maxsize=1024)
def _parts(owner: type) -> Mapping[str, _Part]:
    if issubclass(owner, BaseModel):
        return _parts_of_model(owner)
    if is_dataclass(owner) and not writes_itself(owner):
        hints = getattr(owner, "__pydantic_fields__", None) or {}
        own = fields_that_write_themselves(owner)
        return {
            one.name: _Part(one.name, _default_of_dataclass(one), shape_of(_annotation(hints, one.name, owner)))
            for one in dataclasses.fields(cast("Any", owner))
            if not own & {one.name, "*"}
        }
    return {}


def _parts_of_model(model: type[BaseModel]) -> Mapping[str, _Part]:
    if writes_itself(model):
        return {}
    own = fields_that_write_themselves(model)
    if "*" in own:
        return {}
    return {
        field.serialization_alias or name: _Part(name, _default_of(field), shape_of(field.annotation, field.metadata))
        for name, field in model.__pydantic_fields__.items()
        if name not in own
    }


def _annotation(hints: Mapping[str, FieldInfo], name: str, owner: type) -> object:
    if name in hints:
        return hints[name].annotation
    try:
        return get_type_hints(owner, include_extras=True).get(name)
    except (NameError, TypeError):
        return None


def _default_of(field: FieldInfo) -> object:
    if field.is_required():
        return _Unknown
    if field.default_factory is None:
        return field.default
    return _made_by(field.default_factory)


def _default_of_dataclass(field: dataclasses.Field[Any]) -> object:
    if isinstance(field.default, FieldInfo):
        return _default_of(field.default)
    if field.default is not dataclasses.MISSING:
        return field.default
    return _Unknown if field.default_factory is dataclasses.MISSING else _made_by(field.default_factory)


def _made_by(factory: Any) -> object:
    """What a factory makes, if it can make nothing else: it would be asked at another time in each process."""
    plain = get_origin(factory) or factory
    if plain in _CONSTANT_FACTORIES:
        return plain()
    if isinstance(factory, FunctionType) and not _refers_to_anything(factory):
        return factory()
    return _Unknown


def _refers_to_anything(function: FunctionType) -> bool:
    """Whether a function may be more than a constant. One with variables counts as more, since a comprehension has
    code of its own up to Python 3.11 and variables from 3.12 on: a call has to stay the same call on each."""
    code = function.__code__
    nested: Sequence[object] = [constant for constant in code.co_consts if hasattr(constant, "co_code")]
    # guard: default-factory-varies - a default that is computed each time can't be left out of the identity
    return bool(code.co_names or code.co_freevars or code.co_nlocals or nested)
