"""Between contract objects and JSON: `encode` and `decode`, the only way in which payloads are written and read.

Engines and the route runtime call them. What `encode` lets through is proven to read back as an equal object of the
same types, on every engine: it reads its own result back before it returns. Limits on size are `contracts.size`'s.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from application_sdk.contracts.canonical import MARK, normal_form, restored
from application_sdk.contracts.errors import ContractValidationError, Problem, describe, excerpt
from application_sdk.contracts.paths import CONTEXT_KEY, Paths
from application_sdk.contracts.roundtrip import first_difference
from application_sdk.contracts.safety import validate_payload_safety
from application_sdk.contracts.validation_errors import how_many_more, problems_of
from application_sdk.wire.digest import JSON, JSONObject

Model = TypeVar("Model", bound=BaseModel)
Unknown = Literal["refuse", "ignore"]

_EXTRA: Final[dict[Unknown, Literal["forbid", "ignore"]]] = {"refuse": "forbid", "ignore": "ignore"}


def encode(value: BaseModel, declared: type[BaseModel] | None = None) -> JSONObject:
    """The JSON object of a contract's object, in normal form: equal values give equal JSON in every process.

    `declared` is the type that the receiver will read it as; `value` has to be exactly of that type. Raises
    ContractValidationError when it is not, or when it would read back as anything but itself.
    """
    return written(value, declared or type(value)).payload


class Written(NamedTuple):
    """An object as JSON, and how it was written."""

    raw: object
    """What pydantic made of the object: the normal form is made of it."""
    payload: JSONObject
    exact: bool
    """Whether `payload` is in the exact form of `contracts.canonical`."""


def written(value: BaseModel, contract: type[BaseModel]) -> Written:
    """What `encode` does, with how it was written."""
    if type(value) is not contract:
        raise _wrong_type(value, contract)
    name = contract.__name__
    try:
        raw = contract.__pydantic_serializer__.to_python(
            value, mode="json", by_alias=True, round_trip=True, warnings=False
        )
        payload, exact, difference = _written(value, contract, raw)
    except ValidationError as error:
        problems = problems_of(contract, error)
        raise ContractValidationError(
            describe(
                f"This {name} can't be stored: it holds what its own class refuses.", problems, how_many_more(error)
            ),
            contract=name,
            problems=problems,
            count=error.error_count(),
        ) from error
    except ContractValidationError:
        raise
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ContractValidationError(f"This {name} can't be written as JSON: {error}", contract=name) from error
    if difference is not None:
        raise ContractValidationError(
            describe(f"This {name} can't be stored: it would read back as something else.", [difference]),
            contract=name,
            problems=[difference],
        )
    if not isinstance(payload, dict):
        raise ContractValidationError(
            f"{name} is written as JSON {type(payload).__name__}, and a payload is an object. Give it named fields.",
            contract=name,
        )
    return Written(raw, payload, exact)


def _written(value: BaseModel, contract: type[BaseModel], raw: object) -> tuple[JSON, bool, Problem | None]:
    """The JSON of a value, whether in the exact form, and where it wouldn't read back as it is.

    Raises what pydantic has against it.
    """
    payload = normal_form(raw, value)
    text = to_json(payload)
    difference: Problem | None = None
    # guard: number-mark-in-text - text that starts with the marker of an exact number would be read back as a number
    if MARK not in text:
        try:
            difference = first_difference(value, _validate(contract, text, None, "keep"), contract.__name__)
            if difference is None:
                return payload, False, None
        except ValidationError:
            pass  # A strict type doesn't read numbers from text; what else is wrong, the exact form meets as well.
    exact = normal_form(raw, value, exact=True)
    if difference is not None and exact == payload:
        return payload, False, difference
    again = _validate(contract, _text(exact), None, "keep")
    return exact, True, first_difference(value, again, contract.__name__)


def decode(contract: type[Model], payload: JSON, *, unknown: Unknown | None = None, paths: Paths = "drop") -> Model:
    """The object of `contract` that `payload` describes. Raises ContractValidationError that names every fault in it.

    Unknown fields are refused, since in an input they are typing errors. In outputs and heartbeat details, which
    another version of the app may have written, they are ignored. `unknown` decides otherwise; a nested model that
    says `extra=` in its own config is read as it says.

    `paths` says what becomes of a file's `local_path`. Unless the payload is known to be of this machine it is left
    out, since whoever wrote the payload would choose the file that this process reads.
    """
    if unknown is None:
        unknown = "ignore" if written_by_any_version(contract) else "refuse"
    try:
        return _validate(contract, _text(payload), unknown, paths)
    except ValidationError as error:
        problems = problems_of(contract, error)
        name = contract.__name__
        raise ContractValidationError(
            describe(f"The JSON is no {name}:", problems, how_many_more(error)),
            contract=name,
            problems=problems,
            count=error.error_count(),
        ) from error
    except PydanticSerializationError as error:
        name = contract.__name__
        raise ContractValidationError(f"What was given as {name} is not JSON: {error}", contract=name) from error


def written_by_any_version(contract: type[BaseModel]) -> bool:
    """Whether payloads of a contract may come from another version of the app: those of outputs and heartbeat details.

    Such payloads are always written whole, with the fields that equal their defaults.
    """
    return bool(getattr(contract, "__written_by_any_version__", False))


def _text(payload: JSON) -> bytes:
    """The text that pydantic reads: with the numbers that marks stand for."""
    text = to_json(payload, inf_nan_mode="strings")
    return text if MARK not in text else to_json(restored(payload), inf_nan_mode="constants")


def _validate(contract: type[Model], text: bytes, unknown: Unknown | None, paths: Paths) -> Model:
    if not contract.__pydantic_complete__:
        validate_payload_safety(contract)
    extra = None if unknown is None or unknown in _own_extra_rules(contract) else _EXTRA[unknown]
    validator = contract.__pydantic_validator__
    context = {CONTEXT_KEY: paths}
    result: Model = validator.validate_json(text, by_alias=True, by_name=True, extra=extra, context=context)
    return result


@lru_cache(maxsize=1024)
def _own_extra_rules(contract: type[BaseModel]) -> frozenset[Unknown]:
    """The rules on unknown fields that can't be asked for in one call, as a nested model has its own rule."""
    rules: set[object] = set()
    open_nodes: list[object] = [contract.__pydantic_core_schema__]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, dict):
            rules.add(node.get("extra_fields_behavior"))
            open_nodes.extend(node.values())
        elif isinstance(node, list):
            open_nodes.extend(node)
    if "allow" in rules:
        return frozenset({"refuse", "ignore"})
    return frozenset({"refuse"}) if "ignore" in rules else frozenset()


def _wrong_type(value: object, contract: type[BaseModel]) -> ContractValidationError:
    name, found = contract.__name__, "None" if value is None else type(value).__name__
    if isinstance(value, contract):
        reason = f"{found} derives from {name}, which is all that would be read back."
        remedy = f"Declare {found}, or give one type that has a field for each case."
    elif value is None:
        reason, remedy = "there is nothing to store.", f"Give {name}(...)."
    else:
        reason, remedy = "that is not the declared type.", f"Give {name}(...)."
    problem = Problem(name, excerpt(value), reason, remedy)
    message = describe(f"{name} is declared, {found} was given.", [problem])
    return ContractValidationError(message, contract=name, problems=[problem])
