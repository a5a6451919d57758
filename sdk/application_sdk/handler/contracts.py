"""What handlers are asked and what they answer. JSON over HTTP: apart from the contracts of runs, which are stored.

Unknown fields of a request are ignored, since callers may be newer than the app. Times are in seconds unless a name
says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import auto
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from application_sdk.contracts.base import SerializableEnum

MAX_PARTS: Final = 200
"""How many parts a credential may have, and how many credentials a request. A list is read no further than that."""


class HandlerCredential(BaseModel):
    """One part of a credential, such as a user name. Its value is never shown by `repr`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    key: str
    value: str = Field(repr=False)


Credentials: TypeAlias = Annotated[list[HandlerCredential], Field(max_length=MAX_PARTS)]


class _Request(BaseModel):
    """What all requests have in common."""

    model_config = ConfigDict(hide_input_in_errors=True)

    credentials: Credentials = []
    entrypoint: str = Field(default="", max_length=128)
    """Of several entry points the one that is meant; empty where there is one."""


class AuthStatus(SerializableEnum):
    """Whether credentials are good."""

    SUCCESS = auto()
    FAILED = auto()
    EXPIRED = auto()
    INVALID_CREDENTIALS = auto()

    @property
    def is_success(self) -> bool:
        return self is AuthStatus.SUCCESS


class AuthInput(_Request):
    """Are these credentials good?"""

    connection_id: str = ""
    timeout_seconds: int = Field(default=30, ge=1)


class AuthOutput(BaseModel):
    """Whether they are, and for whom."""

    status: AuthStatus
    message: str = ""
    identities: list[str] = []
    """Who the credentials stand for: users, roles."""
    scopes: list[str] = []
    """What they allow."""
    expires_at: str = ""
    """ISO 8601; empty if they don't expire, or nobody knows."""


class PreflightStatus(SerializableEnum):
    """Whether a run would find what it needs."""

    READY = auto()
    NOT_READY = auto()
    PARTIAL = auto()
    """A run can begin, but some of the checks failed."""


class PreflightCheck(BaseModel):
    """The outcome of one check."""

    name: str = Field(min_length=1)
    passed: bool = False
    message: str = ""
    """What was found and, if the check failed, what to do."""
    duration_ms: float = 0.0


class PreflightInput(_Request):
    """Would a run find what it needs?"""

    credentials_by_name: dict[str, Credentials] = Field(default={}, max_length=MAX_PARTS)
    """For apps with several credentials, by the name of each."""
    connection_config: dict[str, JsonValue] = {}
    """Host, port, database, …: whatever the app asks for."""
    metadata: dict[str, JsonValue] = {}
    """What was filled into the app's form."""
    checks_to_run: list[str] = Field(default=[], max_length=1000)
    """Names of the checks that are wanted; empty for all."""
    timeout_seconds: int = Field(default=60, ge=1)


class PreflightOutput(BaseModel):
    """The verdict, and the checks that it rests on."""

    status: PreflightStatus
    checks: list[PreflightCheck] = []
    message: str = ""
    total_duration_ms: float = 0.0


class SqlMetadataObject(BaseModel):
    """A schema of a database. The names are those of SQL's information schema."""

    TABLE_CATALOG: str
    TABLE_SCHEMA: str


class ApiMetadataObject(BaseModel):
    """A node of a tree."""

    value: str
    """Identifies the node."""
    title: str
    """What people are shown."""
    node_type: str = ""
    """Such as `folder` or `tag`."""
    children: list[ApiMetadataObject] = []


class MetadataInput(_Request):
    """What is there to choose from?"""

    connection_config: dict[str, JsonValue] = {}
    object_filter: str = ""
    """Such as `public.*`; empty for all."""
    include_fields: bool = True
    """Whether columns and fields are wanted too."""
    max_objects: int = Field(default=1000, ge=1)
    timeout_seconds: int = Field(default=120, ge=1)


class MetadataOutput(BaseModel):
    """What there is. Return a `SqlMetadataOutput` or an `ApiMetadataOutput`."""

    objects: Sequence[SqlMetadataObject | ApiMetadataObject] = ()


class SqlMetadataOutput(MetadataOutput):
    """The schemas of a database, as a flat list."""

    objects: list[SqlMetadataObject] = []


class ApiMetadataOutput(MetadataOutput):
    """The topmost nodes of a tree."""

    objects: list[ApiMetadataObject] = []
