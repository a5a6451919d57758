"""pydantic's validation errors in our words: where, what was found, what is wrong, what to do.

Used by `contracts.codec` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from application_sdk.contracts.errors import Problem, excerpt

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MAX_FIELDS_LISTED = 30
MAX_PROBLEMS = 20
"""How many faults are told. A payload can have as many as it has bytes."""


def problems_of(contract: type[BaseModel], error: ValidationError) -> list[Problem]:
    """One Problem for each of the first faults that pydantic found in a payload of `contract`."""
    return [_problem(contract, details) for details in error.errors(include_url=False)[:MAX_PROBLEMS]]


def how_many_more(error: ValidationError) -> str:
    """What is to be said of the faults that aren't told; empty when all are."""
    more = error.error_count() - MAX_PROBLEMS
    return f"  … and {more} more." if more > 0 else ""


def _problem(contract: type[BaseModel], details: ErrorDetails) -> Problem:
    location = details["loc"]
    path = _path(contract.__name__, location)
    if details["type"] == "missing":
        return Problem(path, "", "the field is required and has no default.", "Add it.")
    if details["type"] == "extra_forbidden":
        return Problem(path, excerpt(details["input"]), "there is no such field.", _known_fields(contract, location))
    if details["type"] in ("model_type", "model_attributes_type") and not location:
        return Problem(path, excerpt(details["input"]), "that is no JSON object.", _object_of(contract))
    message = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return Problem(path, excerpt(details["input"]), f"{message[:1].lower()}{message[1:].rstrip('.')}.")


def _object_of(contract: type[BaseModel]) -> str:
    """How an object of a contract begins."""
    names = [
        field.validation_alias if isinstance(field.validation_alias, str) else name
        for name, field in contract.model_fields.items()
    ]
    return f'Write {{"{names[0]}": …}}.' if names else "Write {}, since it has no fields."


def _path(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _known_fields(contract: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """What could have been meant by the unknown field at `location`."""
    owner = _owner(contract, location[:-1])
    if owner is None:
        return "Check its spelling."
    names = [
        field.validation_alias if isinstance(field.validation_alias, str) else name
        for name, field in owner.model_fields.items()
    ]
    if not names:
        return f"{owner.__name__} has no fields."
    # Only errors need it, and task pods that fail are rare.
    from difflib import get_close_matches

    close = get_close_matches(str(location[-1]), names, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"{owner.__name__} has: {', '.join(names[:_MAX_FIELDS_LISTED])}."


def _owner(contract: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model whose field is unknown, as far as plain nesting tells."""
    owner: type[BaseModel] | None = contract
    for part in location:
        if owner is None or isinstance(part, int):
            return None
        field = owner.model_fields.get(part)
        annotation = field.annotation if field is not None else None
        owner = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return owner
