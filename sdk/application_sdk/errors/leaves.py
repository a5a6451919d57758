"""The taxonomy of failures: fifteen kinds by what is wrong, and a few that say it more exactly.

A task that raises one is retried, or not, as its class or its `retryable=` says. Fields are
evidence for `to_failure_details()`; all are optional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from application_sdk.errors import AppError
from application_sdk.errors.categories import Audience, FailureCategory


@dataclass(kw_only=True, eq=False, repr=False)
class CancelledError(AppError):
    """The work was cancelled on purpose."""

    cancelled_by: str | None = None
    reason: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.CANCELLED
    audience: ClassVar[Audience] = Audience.APP_OWNER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "CANCELLED"


@dataclass(kw_only=True, eq=False, repr=False)
class AppTimeoutError(AppError):
    """Something took longer than it may."""

    operation: str | None = None
    timeout_seconds: float | None = None
    elapsed_seconds: float | None = None

    category: ClassVar[FailureCategory] = FailureCategory.TIMEOUT
    audience: ClassVar[Audience] = Audience.APP_OWNER
    default_retryable: ClassVar[bool] = True
    code: ClassVar[str] = "TIMEOUT"


@dataclass(kw_only=True, eq=False, repr=False)
class TaskStalledError(AppTimeoutError):
    """A task lives but doesn't get on."""

    stalled_for_seconds: float | None = None
    last_progress_label: str | None = None

    code: ClassVar[str] = "TIMEOUT_TASK_STALLED"


@dataclass(kw_only=True, eq=False, repr=False)
class RateLimitedError(AppError):
    """The other side wants fewer requests."""

    limit_type: str | None = None
    retry_after_seconds: float | None = None
    quota_name: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.RATE_LIMITED
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = True
    code: ClassVar[str] = "RATE_LIMITED"


@dataclass(kw_only=True, eq=False, repr=False)
class AuthError(AppError):
    """The other side doesn't know who asks."""

    auth_method: str | None = None
    principal: str | None = None
    failure_reason: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.AUTH
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "AUTH"


@dataclass(kw_only=True, eq=False, repr=False)
class AppPermissionDeniedError(AppError):
    """The other side knows who asks and refuses it."""

    principal: str | None = None
    resource: str | None = None
    required_action: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.PERMISSION
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "PERMISSION"


@dataclass(kw_only=True, eq=False, repr=False)
class NotFoundError(AppError):
    """What was asked for isn't there."""

    resource_type: str | None = None
    resource_identifier: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.NOT_FOUND
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "NOT_FOUND"


@dataclass(kw_only=True, eq=False, repr=False)
class AlreadyExistsError(AppError):
    """What was to be made is there already."""

    resource_type: str | None = None
    resource_identifier: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.ALREADY_EXISTS
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "ALREADY_EXISTS"


@dataclass(kw_only=True, eq=False, repr=False)
class InvalidInputError(AppError):
    """What was given can't be used."""

    field: str | None = None
    constraint: str | None = None
    value_summary: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.INVALID_INPUT
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "INVALID_INPUT"


@dataclass(kw_only=True, eq=False, repr=False)
class PreconditionError(AppError):
    """Something isn't in the state that the work needs."""

    resource: str | None = None
    expected_state: str | None = None
    actual_state: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.PRECONDITION
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "PRECONDITION"


@dataclass(kw_only=True, eq=False, repr=False)
class DependencyUnavailableError(AppError):
    """A service that the app needs doesn't answer."""

    service: str | None = None
    target: str | None = None
    network_error: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.DEPENDENCY_UNAVAILABLE
    audience: ClassVar[Audience] = Audience.PLATFORM
    default_retryable: ClassVar[bool] = True
    code: ClassVar[str] = "DEPENDENCY_UNAVAILABLE"


@dataclass(kw_only=True, eq=False, repr=False)
class ObjectStoreReadError(DependencyUnavailableError):
    """The store has no file where the app reads."""

    path: str | None = None
    file_extension: str | None = None

    code: ClassVar[str] = "DEPENDENCY_UNAVAILABLE_OBJECT_STORE_READ"


@dataclass(kw_only=True, eq=False, repr=False)
class ObjectStoreDownloadError(DependencyUnavailableError):
    """A file couldn't be fetched from the store."""

    path: str | None = None
    file_extension: str | None = None

    code: ClassVar[str] = "DEPENDENCY_UNAVAILABLE_OBJECT_STORE_DOWNLOAD"


@dataclass(kw_only=True, eq=False, repr=False)
class SourceUnavailableError(AppError):
    """The system that the app reads from doesn't answer."""

    source_type: str | None = None
    endpoint: str | None = None
    http_status: int | None = None
    network_error: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.SOURCE_UNAVAILABLE
    audience: ClassVar[Audience] = Audience.USER
    default_retryable: ClassVar[bool] = True
    code: ClassVar[str] = "SOURCE_UNAVAILABLE"


@dataclass(kw_only=True, eq=False, repr=False)
class ResourceExhaustedError(AppError):
    """Memory, disk or a quota is used up."""

    resource: str | None = None
    limit: str | None = None
    observed: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.RESOURCE_EXHAUSTED
    audience: ClassVar[Audience] = Audience.PLATFORM
    default_retryable: ClassVar[bool] = True
    code: ClassVar[str] = "RESOURCE_EXHAUSTED"


@dataclass(kw_only=True, eq=False, repr=False)
class DiskFullError(ResourceExhaustedError):
    """The disk is full."""

    path: str | None = None
    operation: str | None = None
    required_bytes: int | None = None
    free_bytes: int | None = None

    code: ClassVar[str] = "RESOURCE_EXHAUSTED_DISK_FULL"


@dataclass(kw_only=True, eq=False, repr=False)
class DataIntegrityError(AppError):
    """Data isn't what it has to be."""

    expectation: str | None = None
    observed: str | None = None
    location: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.DATA_INTEGRITY
    audience: ClassVar[Audience] = Audience.APP_OWNER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "DATA_INTEGRITY"


@dataclass(kw_only=True, eq=False, repr=False)
class InternalError(AppError):
    """The app itself is wrong."""

    component: str | None = None
    invariant: str | None = None
    classification_pending: bool = False

    category: ClassVar[FailureCategory] = FailureCategory.INTERNAL
    audience: ClassVar[Audience] = Audience.APP_OWNER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "INTERNAL"


@dataclass(kw_only=True, eq=False, repr=False)
class UnimplementedError(AppError):
    """The app can't do that yet."""

    operation: str | None = None
    reason: str | None = None

    category: ClassVar[FailureCategory] = FailureCategory.UNIMPLEMENTED
    audience: ClassVar[Audience] = Audience.APP_OWNER
    default_retryable: ClassVar[bool] = False
    code: ClassVar[str] = "UNIMPLEMENTED"
