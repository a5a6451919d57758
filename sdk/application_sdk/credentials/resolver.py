"""From a reference to the credential: reads the secret store, hands the fields to the type.

`self.context.resolve_credential` calls it; a program may also use it on a store of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeVar, cast

from application_sdk.contracts.types import CredentialRef
from application_sdk.credentials.errors import CredentialError, CredentialNotFoundError, CredentialParseError
from application_sdk.credentials.registry import CredentialTypeRegistry, get_registry
from application_sdk.credentials.types import RawCredential
from application_sdk.errors import MisuseError
from application_sdk.execution.secret_leaks import PUBLIC_NAMES, register_secret
from application_sdk.infrastructure import FieldStore, InfrastructureContext, SecretNotFoundError, SecretStore
from application_sdk.wire.digest import JSONObject

_UNTYPED = frozenset({"", "raw", "unknown"})

Kind = TypeVar("Kind")


class CredentialResolver:
    """Resolves references by one secret store. Keeps nothing, so a changed secret is seen by the
    next call."""

    def __init__(self, secret_store: SecretStore, registry: CredentialTypeRegistry | None = None) -> None:
        self._store = secret_store
        self._registry = registry or get_registry()

    async def resolve(self, ref: CredentialRef) -> object:
        """The credential, of the class that the reference's type stands for; RawCredential if it
        names none.

        Raises CredentialNotFoundError, CredentialParseError, or CredentialError for a type that
        isn't registered.
        """
        checked(ref)
        if ref.credential_type in _UNTYPED:
            return RawCredential(data=_fields(ref, await self._text(ref)))
        kind = self._registry.find(ref.credential_type)
        text = await self._text(ref, kind.public_fields, kind.field_names)
        fields = _fields(ref, text, kind.plain_field)
        try:
            return self._registry.parse(kind.name, fields)
        except CredentialParseError as error:
            raise CredentialParseError(f"secret {ref.name!r}: {error}") from None

    async def resolve_raw(self, ref: CredentialRef) -> JSONObject:
        """All fields that are stored under the reference. Raises CredentialNotFoundError,
        CredentialParseError."""
        return _fields(ref, await self._text(checked(ref)))

    async def _text(self, ref: CredentialRef, public: frozenset[str] = frozenset(), names: Sequence[str] = ()) -> str:
        try:
            text = await self._store.get(ref.name)
        except SecretNotFoundError as error:
            text = await self._from_fields(ref, names)
            if not text:
                kind = f"{ref.credential_type} credential" if ref.credential_type else "credential"
                forms = self._forms(ref, names)
                raise CredentialNotFoundError(f"{kind} {ref.name!r}: {error}{forms}") from error
        register_secret(ref.name, text, PUBLIC_NAMES | public)
        return text

    async def _from_fields(self, ref: CredentialRef, names: Sequence[str]) -> str:
        """The credential whose fields stand each by itself, as JSON; empty when there is none of
        them."""
        if not isinstance(self._store, FieldStore):
            return ""
        stored = await self._store.get_fields(ref.name)
        # A variable with such a beginning may belong to another program.
        own = {name: value for name, value in stored.items() if not names or name in names}
        return json.dumps(own) if own else ""

    def _forms(self, ref: CredentialRef, names: Sequence[str]) -> str:
        """In which forms the environment may hold a credential."""
        if not isinstance(self._store, FieldStore) or not (variable := self._store.variable_of(ref.name)):
            return ""
        shown = list(names[:2]) or ["username", "password"]
        document = ", ".join(f'"{name}": "…"' for name in shown)
        single = ", ".join(self._store.variable_of(ref.name, name) for name in shown)
        return f" to the fields as JSON, {variable}='{{{document}}}', or set a variable for each field: {single}"


async def resolve_credential(infrastructure: InfrastructureContext, ref: object) -> object:
    """The credential that a reference stands for, as its type. Raises CredentialError,
    SecretStoreError."""
    if infrastructure.credential_store is not None:
        return await infrastructure.credential_store.resolve(ref)
    named = checked(ref)
    return await CredentialResolver(infrastructure.require_secret_store(named.store_name)).resolve(named)


async def resolve_credential_raw(infrastructure: InfrastructureContext, ref: object) -> JSONObject:
    """All that is stored under a reference, as it is. Raises CredentialError, SecretStoreError."""
    named = checked(ref)
    return await CredentialResolver(infrastructure.require_secret_store(named.store_name)).resolve_raw(named)


def checked(ref: object) -> CredentialRef:
    """The reference, if it is one with a name. Raises MisuseError."""
    if not isinstance(ref, CredentialRef):
        given = "None" if ref is None else f"a {type(ref).__name__}"
        raise MisuseError(
            f"resolve_credential() takes a reference and was given {given}: write basic_ref('my-db') or the like, and "
            "check that the input has one"
        )
    if not ref.name:
        raise MisuseError("the credential reference has no name: it says which secret is meant")
    return ref


def of_kind(stored: object, ref: object, kind: type[Kind]) -> Kind:
    """What a reference has resolved to, if it is of the class that the app can use. Raises
    CredentialError."""
    if not isinstance(stored, kind):
        named = getattr(ref, "name", ref)
        wanted = getattr(kind, "type_name", "") or "its"
        raise CredentialError(
            f"credential {named!r} is a {type(stored).__name__}, and a {kind.__name__} is needed: give a reference "
            f"with the credential_type {wanted!r}"
        )
    return stored


def _fields(ref: CredentialRef, text: str, plain_field: str = "") -> JSONObject:
    try:
        value: object = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return cast("JSONObject", value)
    if plain_field:
        # Secrets made from files end in a newline that isn't part of the token; a key's own doesn't
        # matter.
        return {plain_field: text.strip() if "\n" not in text.strip() else text}
    raise CredentialParseError(
        f"secret {ref.name!r} is no JSON object: store the fields of the credential as one, or as the keys of a "
        "Kubernetes Secret"
    )
