"""`self.context` of a handler: who asks, with which credentials. One for each request, in the
request's own context.

Whoever calls a handler puts one in place with `bind_handler_context`. Concurrent requests don't see
each other's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import UUID, uuid4

from application_sdk.execution.secret_leaks import register_secret
from application_sdk.infrastructure import SecretStore, get_infrastructure

if TYPE_CHECKING:
    from application_sdk.contracts.types import CredentialRef
    from application_sdk.handler.contracts import HandlerCredential
    from application_sdk.wire.digest import JSONObject

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """What a handler knows of the request that it answers."""

    app_name: str
    credentials: Sequence[HandlerCredential] = ()
    """Those of the request."""
    secret_store: SecretStore | None = field(default=None, repr=False)
    """Where `get_secret` looks; None for the store that tasks have too."""
    request_id: UUID = field(default_factory=uuid4)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _begun: float = field(default_factory=time.monotonic, init=False, repr=False, compare=False)

    @property
    def request_id_str(self) -> str:
        return str(self.request_id)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named as the app, which names the request in each record."""
        return logging.LoggerAdapter(logging.getLogger(self.app_name), {"request_id": self.request_id_str})

    def get_credential(self, key: str) -> str | None:
        """The value of a part of the request's credentials, or None when it has no such part."""
        return next((credential.value for credential in self.credentials if credential.key == key), None)

    def has_credential(self, key: str) -> bool:
        """Whether the request's credentials have such a part."""
        return any(credential.key == key for credential in self.credentials)

    async def get_secret(self, name: str) -> str:
        """The secret of that name, masked from now on in what the server tells. Raises
        SecretNotFoundError."""
        value = await self._secrets().get(name)
        register_secret(name, value)
        return value

    async def get_secret_optional(self, name: str) -> str | None:
        """The secret of that name, masked as by `get_secret`, or None when there is none."""
        value = await self._secrets().get_optional(name)
        if value is not None:
            register_secret(name, value)
        return value

    async def resolve_credential(self, ref: CredentialRef, kind: type[Kind]) -> Kind:
        """The request's credentials as a credential of the reference's type or, if it has none,
        what the secret of that reference holds.

        Raises HandlerError, which refuses the request, when its credentials don't fit;
        CredentialError and SecretStoreError for a secret that doesn't, or isn't there.
        """
        # Handlers that resolve no credential don't load the types of credentials.
        from application_sdk.credentials import CredentialParseError, CredentialResolver, get_registry
        from application_sdk.credentials.resolver import of_kind
        from application_sdk.handler.errors import HandlerError

        if not self.credentials:
            return of_kind(await CredentialResolver(self._secrets()).resolve(ref), ref, kind)
        given = cast("JSONObject", {part.key: part.value for part in self.credentials})
        try:
            return of_kind(get_registry().parse(ref.credential_type, given), ref, kind)
        except CredentialParseError as error:
            raise HandlerError(f"the credentials of the request: {error}", http_status=400) from None

    def elapsed_ms(self) -> float:
        """Milliseconds since the request came."""
        return (time.monotonic() - self._begun) * 1000

    def _secrets(self) -> SecretStore:
        return self.secret_store or get_infrastructure().require_secret_store()


_current: ContextVar[HandlerContext | None] = ContextVar("application_sdk.handler_context", default=None)

get_handler_context = _current.get
"""The context of the request that is being answered, or None."""


@contextmanager
def bind_handler_context(context: HandlerContext) -> Iterator[HandlerContext]:
    """Have handlers that are called inside see this context."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
