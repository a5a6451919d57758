"""The credentials that references resolve to: frozen, and silent about their secrets.

`repr`, `str` and the JSON of a credential show its public fields only, so that logging one gives
nothing away, and no payload takes one. `model_dump()` has the real values.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from typing_extensions import override

from application_sdk.credentials.errors import CredentialError

MASK: Final = "***"


class Credential(BaseModel):
    """Base class of credentials, also of an app's own: whatever a subclass doesn't call public is
    hidden."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    type_name: ClassVar[str] = ""
    """What references call this type."""
    public_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that may be shown."""
    plain_field: ClassVar[str] = ""
    """The field that a secret which is no JSON object is the value of. Empty: such a secret is
    refused."""
    standard_keys: ClassVar[Mapping[str, str]] = {}
    """Fields by the keys that Kubernetes' own types of Secrets have for them."""

    @property
    def credential_type(self) -> str:
        """What references call this type."""
        return self.type_name

    @override
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in self:
            yield name, value if name in self.public_fields or not value else MASK

    @model_serializer(mode="wrap")
    def _mask(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if info.mode == "json" and info.round_trip:
            # A payload is being written, which everybody may read who may read the run.
            raise ValueError(
                f"{type(self).__name__} holds secrets. Pass its CredentialRef and resolve that in the task"
            )
        if info.mode == "json":
            return {k: v if k in self.public_fields or not v else MASK for k, v in values.items()}
        return values


class BasicCredential(Credential):
    """A user name and a password. Fits Secrets of type `kubernetes.io/basic-auth`."""

    type_name = "basic"
    public_fields = frozenset({"username"})

    username: str
    password: str

    def to_auth_header(self) -> str:
        """Value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


class ApiKeyCredential(Credential):
    """A key that is sent in a header."""

    type_name = "api_key"
    public_fields = frozenset({"header_name", "prefix"})
    plain_field = "api_key"

    api_key: str
    header_name: str = "X-API-Key"
    prefix: str = ""
    """Goes before the key, as it is: `Bearer ` has a space at its end."""

    def to_headers(self) -> dict[str, str]:
        """The header to send."""
        return {self.header_name: f"{self.prefix}{self.api_key}"}


class _Expiring(Credential):
    expires_at: str = ""
    """ISO 8601, UTC if it names no zone. Empty: never."""

    @field_validator("expires_at")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if value:
            datetime.fromisoformat(value)
        return value

    def _is_over(self) -> bool:
        if not self.expires_at:
            return False
        end = datetime.fromisoformat(self.expires_at)
        return (end if end.tzinfo else end.replace(tzinfo=UTC)) <= datetime.now(UTC)


class BearerTokenCredential(_Expiring):
    """A token that is sent as `Authorization: Bearer`."""

    type_name = "bearer_token"
    public_fields = frozenset({"expires_at"})
    plain_field = "token"

    token: str

    def to_auth_header(self) -> str:
        """Value of an `Authorization` header."""
        return f"Bearer {self.token}"

    def is_expired(self) -> bool:
        """Whether `expires_at` has passed."""
        return self._is_over()


class OAuthClientCredential(_Expiring):
    """A client of an OAuth 2 server, with the tokens that it has, if any. Getting new ones is the
    app's business."""

    type_name = "oauth_client"
    public_fields = frozenset({"client_id", "token_url", "scopes", "expires_at"})

    client_id: str
    client_secret: str
    token_url: str
    scopes: tuple[str, ...] = ()
    access_token: str = ""
    refresh_token: str = ""

    @field_validator("scopes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    def needs_refresh(self) -> bool:
        """Whether there is no access token, or only one that has expired."""
        return not self.access_token or self._is_over()

    def to_headers(self) -> dict[str, str]:
        """The header to send. Raises CredentialError when there is no access token."""
        if not self.access_token:
            raise CredentialError(
                f"OAuth client {self.client_id!r} has no access token: get one from {self.token_url} first"
            )
        return {"Authorization": f"Bearer {self.access_token}"}


class CertificateCredential(Credential):
    """A certificate with its key, as PEM. Fits Secrets of type `kubernetes.io/tls`."""

    type_name = "certificate"
    plain_field = ""
    standard_keys: ClassVar[Mapping[str, str]] = {"tls.crt": "cert_data", "tls.key": "key_data", "ca.crt": "ca_data"}

    cert_data: str = ""
    key_data: str = ""
    ca_data: str = ""
    """Certificates of the authorities to trust."""
    passphrase: str = ""
    """Of the key."""


class GitSshCredential(CertificateCredential):
    """A key for Git over SSH. Fits Secrets of type `kubernetes.io/ssh-auth`."""

    type_name = "git_ssh"
    plain_field = "key_data"
    standard_keys: ClassVar[Mapping[str, str]] = {"ssh-privatekey": "key_data"}


class GitTokenCredential(BearerTokenCredential):
    """A token for Git over HTTPS."""

    type_name = "git_token"


class RawCredential(Credential):
    """What is stored, as it is: what a reference without a type resolves to."""

    type_name = "raw"

    data: dict[str, JsonValue]

    def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """One of its fields."""
        return self.data.get(key, default)


BUILT_IN: Final[tuple[type[Credential], ...]] = (
    ApiKeyCredential,
    BasicCredential,
    BearerTokenCredential,
    CertificateCredential,
    GitSshCredential,
    GitTokenCredential,
    OAuthClientCredential,
)
