"""The types of credentials by name: the built-in ones, and those that apps register when their
module is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ValidationError

from application_sdk.credentials.errors import CredentialError, CredentialParseError
from application_sdk.credentials.types import BUILT_IN, Credential
from application_sdk.errors import MisuseError
from application_sdk.wire.digest import JSONObject

Parser = Callable[[JSONObject], object]


@dataclass(frozen=True, slots=True)
class CredentialType:
    """One type of credentials."""

    name: str
    cls: type
    parser: Parser

    @property
    def plain_field(self) -> str:
        """The field that a secret which is no JSON object is the value of, or empty."""
        return self.cls.plain_field if issubclass(self.cls, Credential) else ""

    @property
    def field_names(self) -> tuple[str, ...]:
        """The fields, those that have to be there first; empty for a class that isn't a pydantic
        model."""
        if not issubclass(self.cls, BaseModel):
            return ()
        fields = self.cls.model_fields
        return tuple(sorted(fields, key=lambda name: not fields[name].is_required()))

    @property
    def public_fields(self) -> frozenset[str]:
        """The fields that may be shown."""
        return self.cls.public_fields if issubclass(self.cls, Credential) else frozenset()


class CredentialTypeRegistry:
    """Types by name. `get_registry()` is the one that `register_credential_type` fills."""

    def __init__(self) -> None:
        self._types = {cls.type_name: CredentialType(cls.type_name, cls, _reader(cls)) for cls in BUILT_IN}

    def register_credential_type(self, type_name: str, cls: type, parser: Parser | None = None) -> None:
        """Have references of this type resolve to what `parser` makes of the stored JSON object;
        without one, to `cls.model_validate` of it. Registering the same class again replaces it.
        Raises MisuseError."""
        if not type_name:
            raise MisuseError("register_credential_type() needs a name that references can use as credential_type")
        known = self._types.get(type_name)
        if known is not None and _title(known.cls) != _title(cls):
            raise MisuseError(
                f"credential type {type_name!r} is {_title(known.cls)} already, so it can't be {_title(cls)}: choose "
                "another name"
            )
        if parser is None:
            if not issubclass(cls, BaseModel):
                raise MisuseError(f"{_title(cls)} is no pydantic model: give register_credential_type() a parser")
            parser = _reader(cls)
        self._types[type_name] = CredentialType(type_name, cls, parser)

    def find(self, type_name: str) -> CredentialType:
        """The type of that name. Raises CredentialError, which lists those there are."""
        registered = self._types.get(type_name)
        if registered is None:
            raise CredentialError(
                f"no credential type {type_name!r} is registered; there are: {', '.join(self.registered_types())}. An "
                "app's own is registered where its module is imported: register_credential_type(name, Class, parser)"
            )
        return registered

    def get_class(self, type_name: str) -> type | None:
        """The class of a type, or None."""
        registered = self._types.get(type_name)
        return None if registered is None else registered.cls

    def registered_types(self) -> list[str]:
        """The names, sorted."""
        return sorted(self._types)

    def parse(self, type_name: str, data: JSONObject) -> object:
        """The credential that the stored fields are. Raises CredentialError,
        CredentialParseError."""
        kind = self.find(type_name)
        try:
            return kind.parser(data)
        except CredentialError:
            raise
        except Exception as error:  # noqa: BLE001 - a parser is the app's code
            # Not chained: the original's text and frames hold what was parsed.
            raise CredentialParseError(
                f"it is no credential of type {type_name!r}: {_reason(error)}. It has {_fields(data)}"
            ) from None


def _reader(cls: type[BaseModel]) -> Parser:
    names = cls.standard_keys if issubclass(cls, Credential) else {}

    def read(data: JSONObject) -> BaseModel:
        return cls.model_validate({names.get(key, key): value for key, value in data.items()})

    return read


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['type'].replace('_', ' ')}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        )
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return f"{error.args[0]}: missing"
    return f"its parser raised {type(error).__name__}"


def _fields(data: JSONObject) -> str:
    return f"the fields {', '.join(sorted(data))}" if data else "no fields"


def _title(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


_registry: Final = CredentialTypeRegistry()


def get_registry() -> CredentialTypeRegistry:
    """The types of this process."""
    return _registry


def register_credential_type(type_name: str, cls: type, parser: Parser | None = None) -> None:
    """Have references with `credential_type=type_name` resolve to `cls`. Call it where the app's
    module is imported.

    `parser` makes the object of the stored JSON object; without one `cls` is a pydantic model and
    validates it. Derive `cls` from `Credential` to keep its fields out of logs. Raises MisuseError
    for a name that another class has.
    """
    _registry.register_credential_type(type_name, cls, parser)
