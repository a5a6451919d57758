"""What handlers are asked and what they answer. JSON over HTTP: apart from the contracts of runs,
which are stored.

Unknown fields of a request are ignored, since callers may be newer than the app. Times are in
seconds unless a name says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from enum import auto
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator
from typing_extensions import override

from application_sdk.contracts.base import SerializableEnum
from application_sdk.errors.details import FailureDetails

MAX_PARTS: Final = 200
"""How many parts a credential may have, and how many credentials a request. A list is read no
further than that."""


class HandlerCredential(BaseModel):
    """One part of a credential, such as a user name. Its value is never shown by `repr`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    key: str
    value: str = Field(repr=False)


def parts_of(given: Mapping[str, object], prefix: str = "") -> list[object]:
    """A flat credential as its parts. What is neither text, number nor an object is left to be
    refused."""
    parts: list[object] = []
    for key, value in given.items():
        if isinstance(value, Mapping) and not prefix:
            parts += parts_of(value, f"{key}.")
        elif value is not None:
            # JSON's own words for numbers and truth values, since each part is text.
            plain = json.dumps(value) if isinstance(value, int | float) else value
            parts.append({"key": f"{prefix}{key}", "value": plain})
    return parts


Credentials: TypeAlias = Annotated[list[HandlerCredential], Field(max_length=MAX_PARTS)]


class _Request(BaseModel):
    """What all requests have in common.

    Credentials may also be given as one object, `{"host": "db", "extra": {"role": "r"}}`, whose
    values are the parts; those of an object in it have names with a dot, such as `extra.role`.
    Where there is none, the parts are those texts, numbers and truth values of the request itself
    that are no field of it.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    @field_validator("credentials", mode="before", check_fields=False)
    @classmethod
    def _as_parts(cls, given: object) -> object:
        return parts_of(given) if isinstance(given, dict) else given

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: object) -> object:
        if not isinstance(given, dict) or "credentials" in given or "credentials_by_name" in given:
            return given
        own = {key: value for key, value in given.items() if key not in cls.model_fields}
        flat = parts_of({key: value for key, value in own.items() if isinstance(value, str | int | float)})
        return {**given, "credentials": flat} if flat else given

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
    error: FailureDetails | None = None
    """Why it failed: `error.to_failure_details()` of an AppError. Its message stands in where there
    is no other."""
    duration_ms: float = 0.0


class Config(BaseModel):
    """A JSON object whose keys are attributes too: `config.host`, `config["host"]` and
    `config.get("host")`."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    def __getitem__(self, key: str) -> JsonValue:
        return self._values()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values()

    def __len__(self) -> int:
        return len(self._values())

    def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """The value of a key, or the default."""
        return self._values().get(key, default)

    def keys(self) -> KeysView[str]:
        """The names of the values."""
        return self._values().keys()

    def values(self) -> ValuesView[JsonValue]:
        """The values."""
        return self._values().values()

    def items(self) -> ItemsView[str, JsonValue]:
        """Names and values."""
        return self._values().items()

    @override
    def __eq__(self, other: object) -> bool:
        return self._values() == dict(other) if isinstance(other, Mapping) else super().__eq__(other)

    __hash__ = None  # type: ignore[assignment] # it can be changed, as a dict can

    def _values(self) -> dict[str, JsonValue]:
        return {name: getattr(self, name) for name in type(self).model_fields} | (self.__pydantic_extra__ or {})


class BaseConnectionConfig(Config):
    """Host, port, database, …: whatever the app asks for."""


class BaseMetadataConfig(Config):
    """What was filled into the app's form."""


class PreflightInput(_Request):
    """Would a run find what it needs?"""

    credentials_by_name: dict[str, Credentials] = Field(default={}, max_length=MAX_PARTS)
    """For apps with several credentials, by the name of each."""
    connection_config: BaseConnectionConfig = BaseConnectionConfig()
    """Host, port, database, …: whatever the app asks for."""
    metadata: BaseMetadataConfig = BaseMetadataConfig()
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

    connection_config: BaseConnectionConfig = BaseConnectionConfig()
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
