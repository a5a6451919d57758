"""The walk over a contract's types, down to the leaves, that collects every fault. Used by `contracts.safety` alone.

It reads annotations as pydantic has resolved them. Types of other packages are recognised by their qualified name, so
that recognising one never imports it.
"""

from __future__ import annotations

import types
from collections.abc import Container, Iterable
from enum import Enum
from typing import Annotated, ForwardRef, Literal, NewType, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

from application_sdk.contracts import type_support as names
from application_sdk.contracts.bounds import MaxItems
from application_sdk.contracts.errors import Problem

_COLLECTION_REMEDY = "Write Annotated[{type}, MaxItems(1000)], or pass a FileReference to the data."
_KIND_REMEDY = 'Give each a field that tells it: kind: Literal["…"] = "…".'
_FILE_REMEDY = "Put the data in a file and pass a FileReference."


class TypeWalk:
    """One walk: `problems` are the faults found, `visited` the models that were walked to their end."""

    def __init__(self, known_safe: Container[type[BaseModel]], *, generic_parameters_allowed: bool) -> None:
        self.problems: list[Problem] = []
        self.visited: list[type[BaseModel]] = []
        self.saw_type_variables = False
        self._known_safe = known_safe
        self._generic_parameters_allowed = generic_parameters_allowed
        self._open: list[object] = []
        """Models and aliases that the walk is inside of: meeting one of them again is recursion."""
        self._done: set[object] = set()

    def model(self, model: type[BaseModel], path: str, skip_fields: Container[str] = frozenset()) -> None:
        """Walk a model's fields. One that was walked already says nothing twice."""
        if model in self._known_safe or model in self._done:
            return
        if not model.__pydantic_complete__:
            try:
                model.model_rebuild()
            except PydanticUndefinedAnnotation as error:
                remedy = "Define or import it at the module's top level, before the class is used."
                self._fault(path, error.name, "the name is unknown, so forward references aren't resolved.", remedy)
                return
        before = len(self.problems)
        self._open.append(model)
        if model.model_config.get("extra") == "allow":
            self._fault(path, model, 'extra="allow" lets any field of any size in.', "Declare the fields.")
        for name, field in model.model_fields.items():
            if name not in skip_fields:
                self._field(model, name, field, f"{path}.{name}" if name != "root" else path)
        self._open.pop()
        self._done.add(model)
        if len(self.problems) == before:
            self.visited.append(model)

    def _field(self, model: type[BaseModel], name: str, field: FieldInfo, path: str) -> None:
        if field.exclude:
            self._fault(path, field.annotation, "exclude=True keeps the value from being stored.", "Drop exclude=True.")
        written = field.serialization_alias or name
        if written != name and written not in names.read_as(field):
            remedy = f"Use Field(alias={written!r}), which means both."
            self._fault(path, field.annotation, f"it is written as {written!r}, but not read under that name.", remedy)
        if field.default_factory is not None:
            self._factory(field.default_factory, field.annotation, path)
        metadata = [*field.metadata, field] if field.discriminator is not None else field.metadata
        self._limited(field.annotation, path, metadata, None)
        if field.default is None and not names.accepts_none(field.annotation):
            shown = names.render(field.annotation)
            self._fault(path, field.annotation, "the default None is not of this type.", f"Write {shown} | None.")

    def _factory(self, factory: object, annotation: object, path: str) -> None:
        from application_sdk.contracts.factories import name_of, reads_clock_or_chance

        if reads_clock_or_chance(factory):
            reason = f"default_factory={name_of(factory)} gives the route another value in each replay."
            remedy = "Derive the model from Record, Input or Output, or pass the value: self.now(), self.uuid()."
            self._fault(path, annotation, reason, remedy)

    def walk(self, annotation: object, path: str, limit: int | None = None, *, discriminated: bool = False) -> None:
        """Walk one type. `limit` is the greatest length that the annotation around it, or its field, allows;
        `discriminated` says that the user tells the members of a union apart."""
        origin = get_origin(annotation)
        if annotation is None or annotation is types.NoneType:
            return
        if origin is Annotated:
            inner, *metadata = get_args(annotation)
            self._limited(inner, path, metadata, limit)
        elif origin is Union or origin is types.UnionType:
            self._union(annotation, path, limit, discriminated)
        elif origin is Literal:
            for value in get_args(annotation):
                if not isinstance(value, str | int | bool | Enum | None):
                    self._fault(path, annotation, "a Literal of bytes can't be written as JSON.", "Use text.")
        elif names.is_alias(annotation) or names.is_alias(origin):
            self._alias(annotation, origin, path, limit)
        elif isinstance(annotation, NewType):
            self.walk(annotation.__supertype__, path, limit)
        elif isinstance(annotation, TypeVar):
            self._type_variable(annotation, path)
        elif isinstance(annotation, str | ForwardRef):
            self._fault(path, annotation, "the name is not resolved.", "Define or import it where the class is.")
        elif origin in names.QUALIFIERS:
            self.walk(get_args(annotation)[0], path, limit)
        elif isinstance(annotation, type) and origin is None:
            self._class(annotation, path, limit)
        else:
            self._generic(annotation, origin, path, limit)

    def _limited(self, annotation: object, path: str, metadata: Iterable[object], limit: int | None) -> None:
        """Walk a type with metadata. Of several limits pydantic heeds one only, and it's not always the narrowest."""
        metadata = list(metadata)
        limits = {found for item in metadata for found in names.limits(item)}
        if limit is not None:
            limits.add(limit)
        if len(limits) > 1:
            shown = " and ".join(map(str, sorted(limits)))
            self._fault(path, annotation, f"it has several limits, {shown}, of which one would hold.", "Keep one.")
        if any(isinstance(item, MaxItems) for item in metadata):
            holders = [member for member in names.members(annotation) if names.has_items(member)]
            if not holders:
                remedy = "For text write Field(max_length=...), for numbers Field(le=...)."
                self._fault(path, annotation, "MaxItems limits collections, and this is none.", remedy)
            elif len(holders) > 1:
                self._fault(path, annotation, "one MaxItems can't limit several collections.", "Give each its own.")
        if any(names.union_mode(item) == "left_to_right" for item in metadata):
            reason = 'with union_mode="left_to_right" the first type that can read a value takes it.'
            self._fault(path, annotation, reason, "Drop union_mode: the type that fits best is taken.")
        discriminated = any(getattr(item, "discriminator", None) is not None for item in metadata)
        self.walk(annotation, path, min(limits, default=None), discriminated=discriminated)

    def _class(self, cls: type, path: str, limit: int | None) -> None:
        if issubclass(cls, BaseModel):
            self._nested(cls, path)
        elif issubclass(cls, Enum):
            if not all(isinstance(member.value, str | int | float | bool | None) for member in cls):
                self._fault(path, cls, "members with such values can't be written as JSON.", "Give them text values.")
        elif names.is_scalar(cls):
            return
        elif (fields := names.structure(cls)) is not None:
            self._structure(cls, fields, path)
        elif cls in names.COLLECTIONS:
            self._fault(path, cls, "neither its items nor its size are known.", _bare_remedy(cls))
        else:
            reason, remedy = names.refusal(cls)
            self._fault(path, cls, reason, remedy)

    def _nested(self, model: type[BaseModel], path: str) -> None:
        if model in self._open:
            self._recursion(model, path)
        elif not getattr(model, "__allow_unbounded_fields__", False):
            self.model(model, path)

    def _structure(self, cls: type, fields: dict[str, object], path: str) -> None:
        if cls in self._open:
            self._recursion(cls, path)
            return
        if cls in self._done:
            return
        self._open.append(cls)
        for name, annotation in fields.items():
            self.walk(annotation, f"{path}.{name}")
        self._open.pop()
        self._done.add(cls)

    def _recursion(self, cls: object, path: str) -> None:
        self._fault(
            path,
            cls,
            "the type contains itself, so there is no limit to its depth.",
            "Write a flat collection of records that name each other by id, or pass a FileReference.",
        )

    def _alias(self, annotation: object, origin: object, path: str, limit: int | None) -> None:
        if annotation in self._open:
            self._recursion(annotation, path)
            return
        self._open.append(annotation)
        self.walk(names.alias_value(annotation, origin), path, limit)
        self._open.pop()

    def _type_variable(self, variable: TypeVar, path: str) -> None:
        self.saw_type_variables = True
        if not self._generic_parameters_allowed:
            self._fault(
                path, variable, "the type variable is open, so anything fits.", "Give the class its types: Page[Row]."
            )

    def _union(self, annotation: object, path: str, limit: int | None, discriminated: bool) -> None:
        members = names.members(annotation)
        for member in members:
            self.walk(member, path, limit)
        if len([member for member in members if member is not types.NoneType]) < 2:
            return
        # A pod whose contracts have no union but with None doesn't load it.
        from application_sdk.contracts.unions import clashes

        for kind, alike in clashes(annotation, discriminated=discriminated):
            shown = " and ".join(names.render(member) for member in alike)
            remedy = _KIND_REMEDY if "object" in kind else "Choose one."
            self._fault(path, annotation, f"{shown} are both written as {kind}, so which it was is lost.", remedy)

    def _generic(self, annotation: object, origin: object, path: str, limit: int | None) -> None:
        arguments = get_args(annotation)
        bare = not arguments and annotation != tuple[()]
        if bare and isinstance(origin, type) and origin in names.COLLECTIONS:
            self._class(origin, path, limit)
            return
        if origin is tuple and Ellipsis not in arguments:
            for index, item in enumerate(arguments):
                self.walk(item, f"{path}[{index}]")
            return
        if isinstance(origin, type) and issubclass(origin, BaseModel):
            self._nested(origin, path)
            return
        if origin in names.COLLECTIONS:
            if limit is None:
                remedy = _COLLECTION_REMEDY.format(type=names.render(annotation))
                self._fault(path, annotation, "there is no limit to its size.", remedy)
            if origin in names.MAPPINGS:
                self._mapping_key(arguments[0], path)
                self.walk(arguments[1], f"{path}{{}}")
            else:
                self.walk(arguments[0], f"{path}[]")
            return
        if isinstance(origin, type) and (fields := names.structure(origin, annotation)) is not None:
            self._structure(origin, fields, path)
            return
        reason, remedy = names.refusal(origin if origin is not None else annotation)
        self._fault(path, annotation, reason, remedy)

    def _mapping_key(self, key: object, path: str) -> None:
        if not names.is_key(key):
            self._fault(
                f"{path}{{key}}",
                key,
                "JSON's keys are text, and this can't be told from it again.",
                "Use str or an enum.",
            )

    def _fault(self, path: str, found: object, reason: str, remedy: str) -> None:
        self.problems.append(Problem(path, names.render(found), reason, remedy))


def _bare_remedy(cls: type) -> str:
    inner = "[str, int]" if cls in names.MAPPINGS else "[str, ...]" if cls is tuple else "[str]"
    return _COLLECTION_REMEDY.format(type=f"{names.render(cls)}{inner}")
