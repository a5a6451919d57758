"""Several secret stores as one."""

from __future__ import annotations

from collections.abc import Sequence

from application_sdk.infrastructure.stores import FieldStore, SecretNotFoundError, SecretStore


class SecretStoreChain:
    """Asks its stores in their order; the first that has a secret gives it."""

    def __init__(self, stores: Sequence[SecretStore]) -> None:
        self._stores = tuple(stores)

    async def get(self, name: str) -> str:
        refusals: list[str] = []
        for store in self._stores:
            try:
                return await store.get(name)
            except SecretNotFoundError as error:
                refusals.append(str(error))
        raise SecretNotFoundError("; ".join(refusals) or f"there is no secret {name!r}, and no store to look for it in")

    async def get_optional(self, name: str) -> str | None:
        for store in self._stores:
            value = await store.get_optional(name)
            if value is not None:
                return value
        return None

    def variable_of(self, name: str, field: str = "") -> str:
        """The environment variable that a secret is read from, or one field of it; empty where none
        is."""
        return next((store.variable_of(name, field) for store in self._stores if isinstance(store, FieldStore)), "")

    async def get_fields(self, name: str) -> dict[str, str]:
        """The fields of a secret that have a variable each."""
        for store in self._stores:
            if isinstance(store, FieldStore) and (values := await store.get_fields(name)):
                return values
        return {}

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        values = {name: await self.get_optional(name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    async def list_names(self) -> list[str]:
        return sorted({name for store in self._stores for name in await store.list_names()})
