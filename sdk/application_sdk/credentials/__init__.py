"""Credentials: references that travel in inputs, the frozen classes they resolve to, and how an app adds its own.

Tasks resolve references with `self.context.resolve_credential`. Task pods that don't never import this.
"""

from __future__ import annotations

from typing import NoReturn

from application_sdk.credentials.errors import CredentialError, CredentialNotFoundError, CredentialParseError
from application_sdk.credentials.ref import (
    CredentialRef,
    api_key_ref,
    basic_ref,
    bearer_token_ref,
    certificate_ref,
    git_ssh_ref,
    git_token_ref,
    oauth_client_ref,
)
from application_sdk.credentials.registry import CredentialTypeRegistry, get_registry, register_credential_type
from application_sdk.credentials.resolver import CredentialResolver
from application_sdk.credentials.types import (
    ApiKeyCredential,
    BasicCredential,
    BearerTokenCredential,
    CertificateCredential,
    Credential,
    GitSshCredential,
    GitTokenCredential,
    OAuthClientCredential,
    RawCredential,
)

__all__ = [
    "ApiKeyCredential",
    "BasicCredential",
    "BearerTokenCredential",
    "CertificateCredential",
    "Credential",
    "CredentialError",
    "CredentialNotFoundError",
    "CredentialParseError",
    "CredentialRef",
    "CredentialResolver",
    "CredentialTypeRegistry",
    "GitSshCredential",
    "GitTokenCredential",
    "OAuthClientCredential",
    "RawCredential",
    "api_key_ref",
    "basic_ref",
    "bearer_token_ref",
    "certificate_ref",
    "get_registry",
    "git_ssh_ref",
    "git_token_ref",
    "oauth_client_ref",
    "register_credential_type",
]

_CLIENT = "It is Atlan's API client; call that API from a @task with a client of your own"
_TOKEN = "It is a token for Atlan's API; bearer_token_ref() and oauth_client_ref() are for any API"
_AGENT = "It is the credential format of Atlan's agents; give a reference, such as basic_ref('my-db')"
_GUID = "It is an id in Atlan's credential vault; name the secret instead, such as basic_ref('my-db')"
ATLAN_ONLY = {
    "AgentCredentialSpec": _AGENT,
    "AtlanApiToken": _TOKEN,
    "AtlanClientMixin": _CLIENT,
    "AtlanOAuthClient": _TOKEN,
    "atlan_api_token_ref": _TOKEN,
    "atlan_oauth_client_ref": _TOKEN,
    "create_async_atlan_client": _CLIENT,
    "legacy_credential_ref": _GUID,
    "lift_agent_json": _AGENT,
    "normalize_agent_json": _AGENT,
}
"""Names that programs may ask for and that can't be here, with what to use."""


def __getattr__(name: str) -> NoReturn:
    from application_sdk.outofscope import refuse_name

    refuse_name(__name__, name, ATLAN_ONLY)
