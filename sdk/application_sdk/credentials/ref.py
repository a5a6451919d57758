"""References to credentials: names that may travel in inputs, where a credential itself may not."""

from __future__ import annotations

from application_sdk.contracts.types import CredentialRef

__all__ = [
    "CredentialRef",
    "api_key_ref",
    "basic_ref",
    "bearer_token_ref",
    "certificate_ref",
    "git_ssh_ref",
    "git_token_ref",
    "oauth_client_ref",
]


def basic_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to a BasicCredential: user name and password."""
    return CredentialRef(name=name, credential_type="basic", store_name=store_name)


def api_key_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to an ApiKeyCredential."""
    return CredentialRef(name=name, credential_type="api_key", store_name=store_name)


def bearer_token_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to a BearerTokenCredential."""
    return CredentialRef(name=name, credential_type="bearer_token", store_name=store_name)


def oauth_client_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to an OAuthClientCredential."""
    return CredentialRef(name=name, credential_type="oauth_client", store_name=store_name)


def certificate_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to a CertificateCredential: certificate, key and authorities."""
    return CredentialRef(name=name, credential_type="certificate", store_name=store_name)


def git_ssh_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to a GitSshCredential: a private key."""
    return CredentialRef(name=name, credential_type="git_ssh", store_name=store_name)


def git_token_ref(name: str, *, store_name: str = "default") -> CredentialRef:
    """A reference to a GitTokenCredential."""
    return CredentialRef(name=name, credential_type="git_token", store_name=store_name)
