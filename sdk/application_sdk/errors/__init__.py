"""The errors that apps raise, catch and meet. A leaf, imported by everybody.

What a route may catch is an `AppError`. What it must not swallow (a divergence, blocking I/O in the
route, a run that continues as another one) is a `RouteInterrupt`, which `except Exception` lets
pass. The taxonomy of the App Framework (`InvalidInputError`, `FailureDetails`, …) is loaded when a
name of it is first used: task pods do without.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, TypedDict, Unpack

from typing_extensions import override

if TYPE_CHECKING:
    from application_sdk.errors.categories import Audience as Audience
    from application_sdk.errors.categories import FailureCategory as FailureCategory
    from application_sdk.errors.codes import *  # noqa: F403 - thirty constants
    from application_sdk.errors.codes import ErrorCode as ErrorCode
    from application_sdk.errors.details import FailureDetails as FailureDetails
    from application_sdk.errors.leaves import AlreadyExistsError as AlreadyExistsError
    from application_sdk.errors.leaves import AppPermissionDeniedError as AppPermissionDeniedError
    from application_sdk.errors.leaves import AppTimeoutError as AppTimeoutError
    from application_sdk.errors.leaves import AuthError as AuthError
    from application_sdk.errors.leaves import CancelledError as CancelledError
    from application_sdk.errors.leaves import DataIntegrityError as DataIntegrityError
    from application_sdk.errors.leaves import DependencyUnavailableError as DependencyUnavailableError
    from application_sdk.errors.leaves import DiskFullError as DiskFullError
    from application_sdk.errors.leaves import InternalError as InternalError
    from application_sdk.errors.leaves import InvalidInputError as InvalidInputError
    from application_sdk.errors.leaves import NotFoundError as NotFoundError
    from application_sdk.errors.leaves import ObjectStoreDownloadError as ObjectStoreDownloadError
    from application_sdk.errors.leaves import ObjectStoreReadError as ObjectStoreReadError
    from application_sdk.errors.leaves import PreconditionError as PreconditionError
    from application_sdk.errors.leaves import RateLimitedError as RateLimitedError
    from application_sdk.errors.leaves import ResourceExhaustedError as ResourceExhaustedError
    from application_sdk.errors.leaves import SourceUnavailableError as SourceUnavailableError
    from application_sdk.errors.leaves import TaskStalledError as TaskStalledError
    from application_sdk.errors.leaves import UnimplementedError as UnimplementedError
    from application_sdk.errors.texts import redact_secrets as redact_secrets
    from application_sdk.errors.texts import safe_traceback as safe_traceback
    from application_sdk.errors.texts import sanitize_cause_repr as sanitize_cause_repr


class ErrorKeywords(TypedDict, total=False):
    """What every error of this SDK may be given beside its message."""

    retryable: bool | None
    cause: BaseException | None
    app_name: str | None
    run_id: str | None
    suggested_action: str | None
    error_code: ErrorCode | None


class _Category:
    """The category of errors that name none. Its enumeration is loaded when it is first asked
    for."""

    def __get__(self, instance: object, owner: type) -> FailureCategory:
        # Loaded when they are asked for: task pods import this package, and few of them its
        # details.
        from application_sdk.errors.categories import FailureCategory

        return FailureCategory.INTERNAL


class _Audience:
    """Who is to act on errors that don't say it."""

    def __get__(self, instance: object, owner: type) -> Audience:
        from application_sdk.errors.categories import Audience

        return Audience.APP_OWNER


@dataclass(init=False, eq=False, repr=False)
class AppError(Exception):
    """Base class of this SDK's errors, and of an app's own if it likes. A task that raises one is
    retried.

    A subclass that is a `@dataclass(kw_only=True)` adds evidence: its fields are part of
    `to_failure_details()`.
    """

    message: str = ""
    _: KW_ONLY
    retryable: bool | None = None
    """Whether another attempt may help. None leaves it to the class' `default_retryable`."""
    cause: BaseException | None = None
    """The exception behind this one; becomes `__cause__` as with `raise … from`."""
    app_name: str | None = None
    run_id: str | None = None
    suggested_action: str | None = None
    """What whoever reads it should do. Stands behind the message in records of failures."""

    if TYPE_CHECKING:
        category: ClassVar[FailureCategory] = FailureCategory.INTERNAL
        audience: ClassVar[Audience] = Audience.APP_OWNER
    else:
        # Without annotations: dataclass reads what has one, which would load the enumerations in
        # every pod.
        category = _Category()
        audience = _Audience()
    default_retryable: ClassVar[bool] = True
    code: ClassVar[str] = "INTERNAL"
    """One word for programs, such as `INVALID_INPUT`."""

    def __init__(
        self,
        message: str = "",
        *more: object,
        retryable: bool | None = None,
        cause: BaseException | None = None,
        app_name: str | None = None,
        run_id: str | None = None,
        suggested_action: str | None = None,
        error_code: ErrorCode | None = None,
    ) -> None:
        Exception.__init__(self, *((message, *more) if message or more else ()))
        self.message = message
        self.retryable = retryable
        self.cause = cause
        self.app_name = app_name
        self.run_id = run_id
        self.suggested_action = suggested_action
        if error_code is not None:
            self.error_code = error_code
        AppError.__post_init__(self)

    def __post_init__(self) -> None:
        if not self.args and self.message:
            # The generated initializer of a subclass was given the message by keyword, which
            # Exception doesn't see.
            self.args = (self.message,)
        if self.retryable is None:
            # A subclass may say it for all of its errors with a class attribute, which this would
            # hide.
            self.__dict__.pop("retryable", None)
        if self.cause is not None and self.__cause__ is None:
            self.__cause__ = self.cause

    @property
    def effective_retryable(self) -> bool:
        """Whether another attempt may help: as this error says or else its class."""
        return self.default_retryable if self.retryable is None else self.retryable

    @property
    def qualified_code(self) -> str:
        """Category and code, such as `NOT_FOUND.NOT_FOUND_SECRET`."""
        return f"{self.category.name}.{self.code}"

    def to_failure_details(self) -> FailureDetails:
        """This error as data, without secrets: fields that a subclass adds are its evidence."""
        from application_sdk.errors.details import details_of

        return details_of(self)


@dataclass(init=False, eq=False, repr=False)
class RetryableError(AppError):
    """Raised by a task: try again as its retry policy says. The default for any exception; this
    says it in words.

    `after` is the wait before the next attempt in seconds, in place of the policy's backoff and its
    cap: what a server has said with `Retry-After`. Attempts are counted as ever. A subclass may say
    it for all of its errors with a class attribute. Raises ValueError for one that makes no sense.
    """

    after: float | None = field(default=None, kw_only=True)

    def __init__(
        self, message: str = "", *more: object, after: float | timedelta | None = None, **named: Unpack[ErrorKeywords]
    ) -> None:
        super().__init__(message, *more, **named)
        self._wait(after)

    @override
    def __post_init__(self) -> None:
        # The generated initializer of a subclass that is a dataclass ends here, and has called no
        # other.
        super().__post_init__()
        self._wait(self.__dict__.pop("after", None))

    def _wait(self, after: object) -> None:
        if after is None:
            return  # Set on the error, it would hide the class attribute of a subclass.
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            raise ValueError(f"after={after!r} must be a number of seconds that isn't negative, or a timedelta")
        self.after = seconds


class NonRetryableError(AppError):
    """Raised by a task: trying again can't help, so the call fails at once."""

    default_retryable: ClassVar[bool] = False


class AppDefinitionError(AppError, TypeError):
    """An `App` class is wrong. Raised where the class is defined, with all faults of the class and
    their lines."""


class IncompleteAppError(AppDefinitionError, AttributeError):
    """A class without a route is used as an app. Others may derive from it, and its tasks can be
    called."""


class AppNotFoundError(AppError, LookupError):
    """No app, entry point or task has that name. The message lists those there are."""


class MisuseError(NonRetryableError):
    """Something was called where it can't work, or with what it can't take. The message says what
    to do instead."""


class NotAvailableError(MisuseError):
    """Something that programs for the App Framework may call, and that this SDK doesn't have
    yet."""


class TaskFailedError(AppError):
    """A task call ended in failure for good. Raised in the route where the call is awaited;
    catching it is part of the plan, and a replay raises it again.

    Only names and texts survive the way from the task's pod, so the original exception is here as
    data.
    """

    def __init__(
        self,
        task: str,
        *,
        error_type: str,
        error_message: str,
        traceback: str = "",
        attempts: int = 1,
        retryable: bool = True,
        key: str = "",
    ) -> None:
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        detail = f": {error_message}" if error_message else ""
        super().__init__(f"task {task!r} failed after {times}: {error_type}{detail}")
        self.task = task
        self.type = error_type
        """Name of the original exception's class; or the reason when it was none, such as
        `OOMKilled`."""
        self.message = error_message
        self.traceback = traceback
        """Text of the original traceback, as far as it lies in the app's own code. Empty if there
        was none."""
        self.attempts = attempts
        self.retryable = retryable
        """Whether the last failure was of a kind that is retried: then the attempts were used
        up."""
        self.key = key
        """The call's key: it names the AppTask that holds all attempts."""

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_task_failed, (self.task, self.type, self.message, self.traceback, self.attempts,
                                       self.retryable, self.key))  # fmt: skip


def _rebuild_task_failed(
    task: str, error_type: str, message: str, traceback: str, attempts: int, retryable: bool, key: str
) -> TaskFailedError:
    return TaskFailedError(
        task,
        error_type=error_type,
        error_message=message,
        traceback=traceback,
        attempts=attempts,
        retryable=retryable,
        key=key,
    )


class PreflightFailedError(NonRetryableError):
    """The handler's preflight check says that the run wouldn't find what it needs, and
    `preflight_gate_mode` is `"hard"`: the run fails before its route begins."""


class RouteDeadlockError(AppError):
    """The route waits for something that no task and no timer will ever bring."""


class RouteInterrupt(BaseException):
    """Base of what ends a route whatever its code catches. Never raise or catch it in an app."""


class RouteViolation(RouteInterrupt):
    """The route did what a replay can't repeat: blocking I/O, a thread, a key used twice. The run
    stalls until the app is corrected. The message has the line and what to do."""


_LEAVES = (
    "AlreadyExistsError AppPermissionDeniedError AppTimeoutError AuthError CancelledError DataIntegrityError "
    "DependencyUnavailableError DiskFullError InternalError InvalidInputError NotFoundError ObjectStoreDownloadError "
    "ObjectStoreReadError PreconditionError RateLimitedError ResourceExhaustedError SourceUnavailableError "
    "TaskStalledError UnimplementedError"
)
_CODES = (
    "APP_ALREADY_REGISTERED APP_CONTEXT_ERROR APP_ERROR APP_NON_RETRYABLE APP_NOT_FOUND BINDING_ERROR "
    "CONTRACT_VALIDATION CREDENTIAL_ERROR CREDENTIAL_NOT_FOUND CREDENTIAL_PARSE_ERROR CREDENTIAL_VALIDATION_ERROR "
    "CREDENTIAL_VAULT_ERROR DISCOVERY_ERROR EVENT_BUS EVENT_PUBLISH EXECUTION_ACTIVITY_ERROR EXECUTION_ERROR "
    "EXECUTION_WORKER_ERROR ErrorCode HANDLER_ERROR PAYLOAD_SAFETY PUBSUB_ERROR SECRET_NOT_FOUND SECRET_STORE_ERROR "
    "SEGMENT_ERROR STATE_STORE_ERROR STORAGE_CONFIG STORAGE_EMPTY_UPLOAD STORAGE_INTEGRITY STORAGE_NOT_FOUND "
    "STORAGE_OPERATION STORAGE_PERMISSION STORAGE_PREFLIGHT TASK_NOT_FOUND"
)
_LATER = {
    "categories": "Audience FailureCategory",
    "codes": _CODES,
    "details": "FailureDetails",
    "leaves": _LEAVES,
    "texts": "redact_secrets safe_traceback sanitize_cause_repr",
}
"""Names by the module that is loaded when they are first asked for."""


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, _LATER)
