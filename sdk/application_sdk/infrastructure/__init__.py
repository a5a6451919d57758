"""Where tasks get secrets, credentials and state from: protocols, and the slot that engines and
tests fill.

`App.context` reads the slot. Nothing here talks to a network.
"""

from typing import TYPE_CHECKING

from application_sdk.infrastructure.chain import SecretStoreChain
from application_sdk.infrastructure.context import (
    InfrastructureContext,
    InfrastructureError,
    clear_infrastructure,
    get_infrastructure,
    set_infrastructure,
    using_infrastructure,
)
from application_sdk.infrastructure.mounted import MountedSecretStore
from application_sdk.infrastructure.stores import (
    CredentialStore,
    EnvironmentSecretStore,
    FieldStore,
    SecretNotFoundError,
    SecretNotGivenError,
    SecretStore,
    SecretStoreError,
    StateStore,
    StateStoreError,
    UnreadableSecretError,
)

__all__ = [
    "CredentialStore",
    "EnvironmentSecretStore",
    "FieldStore",
    "InfrastructureContext",
    "InfrastructureError",
    "MountedSecretStore",
    "SecretNotFoundError",
    "SecretNotGivenError",
    "SecretStore",
    "SecretStoreChain",
    "SecretStoreError",
    "StateStore",
    "StateStoreError",
    "UnreadableSecretError",
    "clear_infrastructure",
    "get_infrastructure",
    "set_infrastructure",
    "using_infrastructure",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, {})
