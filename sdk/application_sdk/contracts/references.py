"""Finds the FileReferences in a contract's object, wherever they are nested, and puts others in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from application_sdk.contracts.types import FileReference, StorageTier
from application_sdk.wire.digest import JSON

T = TypeVar("T")


def references(value: object) -> list[FileReference]:
    """All references in `value`, each once, in the order of its fields."""
    found: dict[FileReference, None] = {}

    def note(reference: FileReference) -> FileReference:
        found[reference] = None
        return reference

    _mapped(value, note)
    return list(found)


def replaced(value: T, by: Mapping[FileReference, FileReference]) -> T:
    """`value` with other references in it; itself where nothing changes."""
    result: T = _mapped(value, lambda reference: by.get(reference, reference))
    return result


def portable(value: T) -> T:
    """`value` as it means the same everywhere: what is stored has no path on this disk."""

    def without_path(reference: FileReference) -> FileReference:
        if reference.is_durable and reference.local_path is not None:
            return reference.model_copy(update={"local_path": None})
        return reference

    result: T = _mapped(value, without_path)
    return result


def stored_keys(payload: JSON) -> Iterator[str]:
    """The keys of all stored files that a payload refers to."""
    if isinstance(payload, dict):
        key = payload.get("storage_path")
        if isinstance(key, str) and payload.get("is_durable") is True:
            yield key
            return
        for value in payload.values():
            yield from stored_keys(value)
    elif isinstance(payload, list):
        for value in payload:
            yield from stored_keys(value)


def has_transient(payload: JSON) -> bool:
    """Whether a payload refers to a file that goes with its run."""
    return any(key.startswith(f"{StorageTier.TRANSIENT}/") for key in stored_keys(payload))


def _mapped(value: Any, change: Callable[[FileReference], FileReference]) -> Any:
    """`value` with each reference changed; the same object where none is, so that types of containers are kept."""
    if isinstance(value, FileReference):
        return change(value)
    if isinstance(value, BaseModel):
        return _mapped_model(value, change)
    if isinstance(value, str | bytes | int | float | None):
        return value
    if isinstance(value, dict):
        made = {key: _mapped(item, change) for key, item in value.items()}
        return type(value)(made) if any(made[key] is not value[key] for key in value) else value
    if isinstance(value, list | tuple | set | frozenset):
        items = [_mapped(item, change) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        changes = _changes({field.name: getattr(value, field.name) for field in fields(value) if field.init}, change)
        return replace(value, **changes) if changes else value
    return value


def _mapped_model(value: BaseModel, change: Callable[[FileReference], FileReference]) -> BaseModel:
    changes = _changes({name: getattr(value, name) for name in type(value).model_fields}, change)
    return value.model_copy(update=changes) if changes else value


def _changes(values: Mapping[str, object], change: Callable[[FileReference], FileReference]) -> dict[str, object]:
    made = {name: _mapped(item, change) for name, item in values.items()}
    return {name: item for name, item in made.items() if item is not values[name]}
