"""The stores of a process, in one slot. Engines fill it before the first task, tests as they like.

The slot is the process', not the current context's: tasks run in threads and contexts of their own,
which would see nothing of what a caller put into a context variable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from application_sdk.errors import NonRetryableError
from application_sdk.execution import secret_leaks
from application_sdk.infrastructure.chain import SecretStoreChain
from application_sdk.infrastructure.mounted import mounted_secrets
from application_sdk.infrastructure.stores import CredentialStore, EnvironmentSecretStore, SecretStore, StateStore

if TYPE_CHECKING:
    from application_sdk.storage.store import Store

DEFAULT_STORE: Final = "default"


class InfrastructureError(NonRetryableError):
    """A task asks for a store that isn't set up here."""


@dataclass(frozen=True, slots=True)
class InfrastructureContext:
    """The stores that tasks use. One that is None isn't there, and a task that asks for it fails
    with its name."""

    state_store: StateStore | None = None
    secret_store: SecretStore | None = None
    storage: Store | None = None
    """Where files are, for tasks that are called as plain methods and for the functions of
    `storage`. A run's own tasks have the store of its engine."""
    credential_store: CredentialStore | None = None
    """Gives credentials instead of the secret stores. For tests."""
    secret_stores: Mapping[str, SecretStore] = field(default_factory=dict)
    """Further secret stores, which references name with `store_name`."""

    def require_secret_store(self, name: str = DEFAULT_STORE) -> SecretStore:
        """The secret store of that name. The default one, where it isn't set, is that of the
        surroundings: mounted Secrets, then environment variables. Raises InfrastructureError for
        another name that isn't there."""
        if name in self.secret_stores:
            return self.secret_stores[name]
        if name == DEFAULT_STORE:
            return self.secret_store or surrounding_secrets(os.environ)
        stores = ", ".join(sorted({DEFAULT_STORE, *self.secret_stores}))
        raise InfrastructureError(f"there is no secret store {name!r} here; there are: {stores}")

    def require_state_store(self) -> StateStore:
        """The state store. Raises InfrastructureError."""
        if self.state_store is None:
            raise InfrastructureError(_NO_STATE)
        return self.state_store


_NO_STATE: Final = (
    "no state store is set up here. Tasks of a run have one, a task that is called as a plain method has none. In a "
    "test: set_infrastructure(InfrastructureContext(state_store=MockStateStore()))"
)


def surrounding_secrets(environment: Mapping[str, str]) -> SecretStore:
    """Where secrets come from if nobody says: mounted Secrets where there are some, then
    environment variables."""
    mounted = mounted_secrets(environment)
    variables = EnvironmentSecretStore(environment=environment)
    return variables if mounted is None else SecretStoreChain([mounted, variables])


class _Slot:
    """One per process: what it holds is the process' surroundings, the same for everything that
    runs in it."""

    content: InfrastructureContext | None = None


def set_infrastructure(context: InfrastructureContext) -> None:
    """Have tasks of this process use these stores."""
    _fill(context)


def get_infrastructure() -> InfrastructureContext:
    """The stores that were set; without any, the surroundings' secrets and nothing else."""
    return _Slot.content or InfrastructureContext(secret_store=surrounding_secrets(os.environ))


def clear_infrastructure() -> None:
    """Forget the stores, and the secrets that they gave."""
    _fill(None)
    secret_leaks.clear()


@contextmanager
def using_infrastructure(context: InfrastructureContext) -> Iterator[InfrastructureContext]:
    """Have tasks of this process use these stores for the time of the `with` block, and those
    before it again after."""
    before = _Slot.content
    _fill(context)
    try:
        yield context
    finally:
        _fill(before)


def _fill(context: InfrastructureContext | None) -> None:
    _Slot.content = context
    store = None if context is None else context.storage
    if store is not None or "application_sdk.storage.current_storage" in sys.modules:
        # Whoever has no store of its own loads nothing of the storage layer.
        from application_sdk.storage.current_storage import Default

        Default.store = store
