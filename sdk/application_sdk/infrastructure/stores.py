"""The protocols of the stores, and the one store that needs nothing: secrets in environment
variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from application_sdk.errors import AppError, NonRetryableError
from application_sdk.wire.digest import JSONObject


class SecretStoreError(AppError):
    """A store of secrets can't answer. Its message names the secret and the place, never a
    value."""


class SecretNotFoundError(SecretStoreError, NonRetryableError):
    """The store has no secret of that name. Trying again can't help, so a task that raises it fails
    at once."""


class SecretNotGivenError(SecretStoreError, NonRetryableError):
    """The task names the secrets that it is given, and this one isn't among them."""


class UnreadableSecretError(SecretStoreError, NonRetryableError):
    """There is a secret of that name, but it is no text, or may not be read."""


class StateStoreError(AppError):
    """A store of state can't answer. For stores of an app's own: the SDK's raise StateError."""


class SecretStore(Protocol):
    """Gives secrets by name."""

    async def get(self, name: str) -> str:
        """The secret. Raises SecretNotFoundError."""
        ...

    async def get_optional(self, name: str) -> str | None:
        """The secret, or None when there is none of that name."""
        ...

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        """Those of these secrets that there are."""
        ...

    async def list_names(self) -> list[str]: ...


class StateStore(Protocol):
    """Keeps JSON objects beyond a run."""

    async def save(self, key: str, value: JSONObject) -> None: ...

    async def load(self, key: str) -> JSONObject | None:
        """What was saved last under that key, or None."""
        ...

    async def delete(self, key: str) -> bool:
        """Forget what was saved under that key. False if there was nothing."""
        ...

    async def list_keys(self, prefix: str = "") -> list[str]: ...


class CredentialStore(Protocol):
    """Gives the credentials that references stand for."""

    async def resolve(self, ref: object) -> object:
        """The credential. Raises SecretNotFoundError."""
        ...


@runtime_checkable
class FieldStore(Protocol):
    """A store in which each field of a credential may stand by itself."""

    def variable_of(self, name: str, field: str = "") -> str: ...

    async def get_fields(self, name: str) -> dict[str, str]: ...


class EnvironmentSecretStore:
    """Secrets from environment variables: `api-key` with the prefix `APP_` is read from
    `APP_API_KEY`."""

    def __init__(self, prefix: str = "", environment: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._environment: Mapping[str, str] = os.environ if environment is None else environment

    async def get(self, name: str) -> str:
        value = await self.get_optional(name)
        if value is None:
            raise SecretNotFoundError(
                f"there is no secret {name!r}: set the environment variable {self._variable(name)}"
            )
        return value

    async def get_optional(self, name: str) -> str | None:
        return self._environment.get(self._variable(name))

    def variable_of(self, name: str, field: str = "") -> str:
        """The variable that a secret is read from, or one field of it."""
        return self._variable(f"{name}_{field}" if field else name)

    async def get_fields(self, name: str) -> dict[str, str]:
        """The fields of a secret that have a variable each: of `warehouse`, `WAREHOUSE_USERNAME` is
        `username`."""
        beginning = self._variable(f"{name}_")
        return {
            variable[len(beginning) :].lower(): value
            for variable, value in self._environment.items()
            if variable.startswith(beginning) and len(variable) > len(beginning)
        }

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        values = {name: self._environment.get(self._variable(name)) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    async def list_names(self) -> list[str]:
        """The names of the variables with the prefix, in lower case and with hyphens."""
        length = len(self._prefix)
        names = [name[length:] for name in self._environment if name.startswith(self._prefix)]
        return sorted(name.lower().replace("_", "-") for name in names)

    def _variable(self, name: str) -> str:
        return self._prefix + "".join(letter if letter.isalnum() else "_" for letter in name).upper()
