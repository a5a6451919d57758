"""What a class is as a contract: for programs that look at contracts of others."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from application_sdk.contracts.base import Contract
from application_sdk.contracts.errors import ContractValidationError


@runtime_checkable
class InputContract(Protocol):
    """Has the shape of an input: a model that can be read from JSON and written to it."""

    def model_dump(self) -> dict[str, Any]: ...


@runtime_checkable
class OutputContract(Protocol):
    """Has the shape of an output: a model that can be read from JSON and written to it."""

    def model_dump(self) -> dict[str, Any]: ...


def validate_is_contract(cls: type, context: str = "contract") -> None:
    """Raises ContractValidationError for what is neither an Input nor an Output, nor another contract."""
    if not (inspect.isclass(cls) and issubclass(cls, Contract)):
        name = getattr(cls, "__name__", repr(cls))
        raise ContractValidationError(
            f"{context}: {name} is no contract. Derive it from Input, Output, Record or HeartbeatDetails"
        )


def get_contract_fields(cls: type[BaseModel]) -> dict[str, Any]:
    """The types of a contract's fields, by name."""
    return {name: field.annotation for name, field in cls.model_fields.items()}


def has_default(cls: type[BaseModel], field_name: str) -> bool:
    """Whether a field may be left out. Raises KeyError for a field that there isn't."""
    return not cls.model_fields[field_name].is_required()
