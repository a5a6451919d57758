"""Where in a value of a declared type objects of which class stand: what `contracts.identity_form` walks by."""

from __future__ import annotations

import dataclasses
import types
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from functools import reduce
from typing import Annotated, Any, Final, Literal, NewType, Union, cast, get_args, get_origin

from pydantic import BaseModel, PlainSerializer, SerializeAsAny, WrapSerializer

from application_sdk.contracts import type_support as names
from application_sdk.wire.digest import JSON, canonical_json

_SERIALIZERS: Final = (PlainSerializer, WrapSerializer, SerializeAsAny)
_COLLECTIONS: Final = (list, set, frozenset, deque, Sequence, Set)
_MAPPINGS: Final = (dict, Mapping)
_DEEPEST: Final = 32
"""Type aliases may be recursive; what is nested deeper stays whole."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at one place. Several alternatives are one shape: JSON tells objects, lists and texts apart."""

    classes: Mapping[type, frozenset[str] | None] = field(default_factory=dict)
    """Classes of objects, with the keys that an object keeps; None: it stays whole, all that is in it included."""
    items: Shape | None = None
    """Of the items of a list, if one may stand here."""
    values: Shape | None = None
    """Of the values of a mapping, if one may stand here."""
    free: bool = False
    """Whether an object of no known class may stand here."""

    def reaches(self) -> bool:
        """Whether an object of a known class may stand here, or further in."""
        inner = (one for one in (self.items, self.values) if one is not None)
        return bool(self.classes) or any(one.reaches() for one in inner)


NOTHING: Final = Shape()
"""Nothing is known, or nothing can be left out."""
_FREE: Final = Shape(free=True)


def shape_of(annotation: object, metadata: Iterable[object] = (), depth: int = 0) -> Shape:
    """The shape of a declared type."""
    if depth > _DEEPEST or any(isinstance(one, _SERIALIZERS) or one is SerializeAsAny for one in metadata):
        return NOTHING
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0], arguments[1:], depth + 1)
    if names.is_alias(annotation) or names.is_alias(origin):
        return shape_of(names.alias_value(annotation, origin), (), depth + 1)
    if isinstance(annotation, NewType):
        return shape_of(annotation.__supertype__, (), depth + 1)
    if origin in (Union, types.UnionType):
        return _told_apart(reduce(_either, (shape_of(one, (), depth + 1) for one in arguments)))
    if origin is tuple:
        several = len(arguments) != 2 or arguments[1] is not Ellipsis
        return NOTHING if several else _collection(arguments[0], depth)
    if origin in _COLLECTIONS and arguments:
        return _collection(arguments[0], depth)
    if origin in _MAPPINGS and len(arguments) == 2:
        return Shape(values=shape_of(arguments[1], (), depth + 1), free=True)
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return Shape({annotation: None if writes_itself(annotation) else frozenset()})
    return NOTHING if _is_scalar(annotation) or origin is Literal else _FREE


def _is_scalar(annotation: object) -> bool:
    """Whether no value of this type is written as an object. The same in each version of Python: calls rest on it."""
    if annotation is None or not isinstance(annotation, type) or get_origin(annotation) is not None:
        return annotation is None
    return issubclass(annotation, Enum) or names.is_scalar(annotation)


def is_dataclass(owner: object) -> bool:
    return isinstance(owner, type) and dataclasses.is_dataclass(owner)


def writes_itself(owner: type) -> bool:
    """Whether a class decides by code of its own how its objects are written."""
    decorators: Any = getattr(owner, "__pydantic_decorators__", None)
    return decorators is not None and bool(decorators.model_serializers)


def fields_that_write_themselves(owner: type) -> frozenset[str]:
    """Fields with a serializer in their class; "*" stands for all."""
    decorators: Any = getattr(owner, "__pydantic_decorators__", None)
    serializers: Iterable[Any] = () if decorators is None else decorators.field_serializers.values()
    return frozenset(name for one in serializers for name in one.info.fields)


def _collection(item: object, depth: int) -> Shape:
    return Shape(items=shape_of(item, (), depth + 1))


def _either(one: Shape, other: Shape) -> Shape:
    return Shape(
        {**one.classes, **other.classes},
        _merged(one.items, other.items),
        _merged(one.values, other.values),
        one.free or other.free,
    )


def _merged(one: Shape | None, other: Shape | None) -> Shape | None:
    if one is None or other is None:
        return one or other
    return _told_apart(_either(one, other))


def _told_apart(shape: Shape) -> Shape:
    """Have the objects of a union keep what tells their classes apart; without that they stay whole, all that is in
    them included: what is left of fields with other names would be the same."""
    if len(shape.classes) + shape.free < 2:
        return shape
    key = None if shape.free else _discriminator(list(shape.classes))
    if key is None:
        # guard: untold-classes-stay-whole - what is left of two classes would be the same, and one call the other
        return Shape(dict.fromkeys(shape.classes), shape.items, None if shape.classes else shape.values, shape.free)
    keys = frozenset({key})
    kept = {owner: None if known is None else keys for owner, known in shape.classes.items()}
    return Shape(kept, shape.items, shape.values, shape.free)


def _discriminator(classes: Sequence[type]) -> str | None:
    """The first key that all of these classes write, with different `Literal` values in each."""
    tables = [_literals(owner) for owner in classes]
    for key in tables[0]:
        found = [table.get(key) for table in tables]
        values = [value for one in found if one is not None for value in one]
        if None not in found and len(values) == len(set(values)):
            return key
    return None


def _literals(owner: type) -> dict[str, tuple[str, ...]]:
    """The keys with fixed values, and those as JSON: members of different enums may be written alike."""
    if not issubclass(owner, BaseModel) or writes_itself(owner):
        return {}
    own = fields_that_write_themselves(owner)
    return {
        one.serialization_alias or name: tuple(map(_as_json, get_args(one.annotation)))
        for name, one in owner.__pydantic_fields__.items()
        if get_origin(one.annotation) is Literal and not own & {name, "*"}
    }


def _as_json(value: object) -> str:
    return canonical_json(cast("JSON", value.value if isinstance(value, Enum) else value)).decode()
