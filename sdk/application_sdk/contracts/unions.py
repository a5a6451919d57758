"""Which members of a union JSON doesn't tell apart. Used by `contracts.type_checker` alone.

pydantic reads a union in "smart" mode: of the members that can read a value it takes the one that has most of the
fields, then the one that reads it most exactly, then the first. So two members clash when a value of one could be read
as the other, and that wouldn't be the same object.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from itertools import combinations
from typing import Annotated, Final, Literal, NamedTuple, NewType, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import is_typeddict

from application_sdk.contracts import type_support as names

_DEPTH: Final = 8
"""Fields of fields that are looked at; what nests deeper counts as alike."""
_ANY: Final = object()
"""Stands for all values of a kind."""


class _Field(NamedTuple):
    annotation: object
    required: bool
    """Whether it has to be there when it is read."""
    written: bool = True
    """Whether it is always there when it is written."""


def clashes(annotation: object, *, discriminated: bool = False) -> Iterator[tuple[str, list[object]]]:
    """Members that are written alike, with what they are written as. With `discriminated`, the user tells objects
    apart."""
    members = names.members(annotation)
    for kind, alike in names.indistinct(members).items():
        yield f"JSON {kind}", alike
    for one, other in combinations(members, 2):
        first, second = _bare(one), _bare(other)
        if first is second or first == second:
            continue
        kinds = _shape(first), _shape(second)
        # guard: union-is-readable - JSON can't tell two models with the same fields apart
        if kinds == ("array", "array") and _arrays_clash(first, second, 0):
            yield "a JSON array", [one, other]
        elif kinds == ("object", "object") and not discriminated and _objects_clash(first, second):
            yield "a JSON object with the same fields", [one, other]
        elif first is Decimal and second is float:
            # A float without a fraction is written as a whole number, which is as exactly a Decimal.
            yield "the same JSON number", [one, other]
        elif _number_is_read(first, second) or _number_is_read(second, first):
            yield "the same JSON number", [one, other]
        elif "literal" in kinds and _literal_clashes(first, second):
            yield "the same JSON value", [one, other]


def _bare(annotation: object) -> object:
    """A type without what is around it: metadata, names for it, models of one value."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated or origin in names.QUALIFIERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif names.is_alias(annotation) or names.is_alias(origin):
            annotation = names.alias_value(annotation, origin)
        else:
            return annotation


def _shape(annotation: object) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "literal"
    cls = annotation if isinstance(annotation, type) and origin is None else origin
    if cls in names.MAPPINGS:
        return "object"
    if cls in names.COLLECTIONS:
        return "array"
    if not isinstance(cls, type):
        return ""
    if issubclass(cls, BaseModel):
        return _shape(_bare(cls.model_fields["root"].annotation)) if cls.__pydantic_root_model__ else "object"
    if names.structure(cls) is None:
        return ""
    return "array" if issubclass(cls, tuple) else "object"


# Arrays


def _arrays_clash(one: object, other: object, depth: int) -> bool:
    """An empty array reads as the first of two; the same kind of container is the same object then."""
    if get_origin(one) is not get_origin(other) or get_origin(one) is None:
        return True
    items = [_item_types(one), _item_types(other)]
    if get_origin(one) is tuple and (fixed := [item for item in items if Ellipsis not in item]):
        if len(fixed) == 1 or len(items[0]) == len(items[1]):
            return len(fixed) == 1 or not any(map(_apart, *items, [depth + 1] * len(items[0])))
        return False
    return any(
        _values_clash(first, second, depth + 1)
        for first in names.members(items[0][0])
        for second in names.members(items[1][0])
    )


def _item_types(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) or (object,)


def _values_clash(one: object, other: object, depth: int) -> bool:
    """Whether items of one type could be read as items of another that aren't the same objects."""
    first, second = _bare(one), _bare(other)
    if first is second or first == second:
        return False
    if depth < _DEPTH and _shape(first) == _shape(second) == "array":
        return _arrays_clash(first, second, depth)
    return not _apart(first, second, depth)


# Objects


def _objects_clash(first: object, second: object) -> bool:
    """Whether values of one read as the other. One that has more fields, all of them optional, may come second: it
    isn't taken for what hasn't got them."""
    fields, others = _fields(first), _fields(second)
    if fields is None or others is None:
        return _mappings_clash(first, second)
    if not _reads(fields, others, 0) and not _reads(others, fields, 0):
        return False
    first_is_exact = all(
        set(names.members(field.annotation)) <= set(names.members(others[name].annotation))
        for name, field in fields.items()
        if name in others
    )
    return not (first_is_exact and fields.keys() < others.keys() and all(field.written for field in others.values()))


def _mappings_clash(first: object, second: object) -> bool:
    """A model beside a dict always clashes: the dict may have the model's keys."""
    if get_origin(first) is not get_origin(second) or _shape(first) != _shape(second):
        return True
    if get_origin(first) not in names.MAPPINGS:
        return True
    (key, value), (other_key, other_value) = get_args(first), get_args(second)
    return _bare(key) != _bare(other_key) or any(
        _values_clash(one, other, 1) for one in names.members(value) for other in names.members(other_value)
    )


def _fields(cls: object) -> Mapping[str, _Field] | None:
    """The fields of an object by the names that they are written under; None where any name may be."""
    kind = get_origin(cls) or cls
    if not isinstance(kind, type):
        return None
    if issubclass(kind, BaseModel):
        if kind.__pydantic_root_model__ or kind.model_config.get("extra") == "allow":
            return None
        return {
            field.serialization_alias or name: _Field(field.annotation, field.is_required())
            for name, field in kind.model_fields.items()
        }
    structure = names.structure(kind, cls if get_origin(cls) else None)
    if structure is None:
        return None
    if is_typeddict(kind):
        needed: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]
        return {name: _Field(annotation, name in needed, name in needed) for name, annotation in structure.items()}
    if not dataclasses.is_dataclass(kind):
        return None
    absent = dataclasses.MISSING
    given = {f.name for f in dataclasses.fields(kind) if f.default is not absent or f.default_factory is not absent}
    return {name: _Field(annotation, name not in given) for name, annotation in structure.items()}


def _reads(reader: Mapping[str, _Field], written: Mapping[str, _Field], depth: int) -> bool:
    """Whether an object with the fields `written` could be taken for one with the fields `reader`."""
    if any(field.required and name not in written for name, field in reader.items()):
        return False
    if any(field.written and name not in reader for name, field in written.items()):
        return False
    shared = reader.keys() & written.keys()
    return not any(_apart(reader[name].annotation, written[name].annotation, depth + 1) for name in shared)


# Values of fields


def _apart(one: object, other: object, depth: int) -> bool:
    """Whether no JSON that one type writes is what the other one writes."""
    if depth > _DEPTH:
        return False
    return all(
        _members_apart(first, second, depth)
        for first in map(_bare, names.members(_bare(one)))
        for second in map(_bare, names.members(_bare(other)))
    )


def _members_apart(one: object, other: object, depth: int) -> bool:
    if (one is Decimal and other is float) or (one is float and other is Decimal):
        return False
    values, others = _json_values(one), _json_values(other)
    if not values or not others:
        return False
    if all(
        kind != other_kind or (value is not _ANY and other_value is not _ANY and value != other_value)
        for kind, value in values
        for other_kind, other_value in others
    ):
        return True
    fields, other_fields = _fields(one), _fields(other)
    if fields is None or other_fields is None:
        return False
    return not _reads(fields, other_fields, depth) and not _reads(other_fields, fields, depth)


def _json_values(annotation: object) -> list[tuple[str, object]]:
    """What a type is written as: kinds of JSON, with the values where there are few; empty where nobody knows."""
    if annotation is None or annotation is type(None):
        return [("null", None)]
    if get_origin(annotation) is Literal:
        return [_json_value(value) for value in get_args(annotation)]
    shape = _shape(annotation)
    if shape:
        return [(shape, _ANY)]
    if not isinstance(annotation, type):
        return []
    if issubclass(annotation, Enum):
        return [_json_value(member) for member in annotation]
    if annotation is bool:
        return [("bool", _ANY)]
    kind = names.json_kind(annotation)
    return [(kind, _ANY)] if kind else []


def _json_value(value: object) -> tuple[str, object]:
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return "null", None
    kind = "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return kind, value


def _literal_clashes(first: object, second: object) -> bool:
    """Whether a text of a Literal could be read as the type beside it, or that type's as the Literal."""
    literal, other = (first, second) if get_origin(first) is Literal else (second, first)
    values = get_args(literal)
    if other is bool and any(type(value) is int for value in values):
        return any(value in (0, 1) for value in values if type(value) is int)
    if names.json_kind(other) == "number" and any(type(value) is bool for value in values):
        return True
    texts = [value for value in values if type(value) is str]
    if get_origin(other) is Literal or other is str or names.json_kind(other) != "text":
        return False
    if isinstance(other, type) and issubclass(other, Enum):
        return any(member.value in texts for member in other)
    return any(_can_read(other, json.dumps(text)) for text in texts)


def _number_is_read(enum: object, other: object) -> bool:
    """Whether a member of an enum of numbers could be read as the type beside it: enums are read no more exactly."""
    if not isinstance(enum, type) or not issubclass(enum, Enum):
        return False
    numbers = [member.value for member in enum if isinstance(member.value, int | float)]
    return _shape(other) in ("", "literal") and any(_can_read(other, json.dumps(number)) for number in numbers)


def _can_read(annotation: object, text: str) -> bool:
    # Only few contracts ask, and a pod that has none of these doesn't load it.
    from pydantic import TypeAdapter, ValidationError

    reader: TypeAdapter[object] = TypeAdapter(annotation)  # type: ignore[arg-type] # any type at all
    try:
        reader.validate_json(text)
    except ValidationError:
        return False
    return True
