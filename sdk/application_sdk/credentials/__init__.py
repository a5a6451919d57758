"""Credentials: references that travel in inputs, the frozen classes they resolve to, and how an app
adds its own.

Tasks resolve references with `self.context.resolve_credential`. Task pods that don't never import
this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.credentials.errors import (
    CredentialError,
    CredentialNotFoundError,
    CredentialParseError,
    CredentialValidationError,
)
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

if TYPE_CHECKING:
    from application_sdk.credentials.extra import parse_credentials_extra
    from application_sdk.credentials.spec import AgentCredentialSpec, CredentialResolvable

__all__ = [
    "AgentCredentialSpec",
    "ApiKeyCredential",
    "BasicCredential",
    "BearerTokenCredential",
    "CertificateCredential",
    "Credential",
    "CredentialError",
    "CredentialNotFoundError",
    "CredentialParseError",
    "CredentialRef",
    "CredentialResolvable",
    "CredentialResolver",
    "CredentialTypeRegistry",
    "CredentialValidationError",
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
    "parse_credentials_extra",
    "register_credential_type",
]

_LATER = {
    "extra": "parse_credentials_extra",
    "spec": "AgentCredentialSpec CredentialResolvable",
}


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, _LATER)
