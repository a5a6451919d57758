"""The errors that apps raise, catch and meet. A leaf, imported by everybody.

What a route may catch is an `AppError`. What it must not swallow (a divergence, blocking I/O in the route, a run that
continues as another one) is a `RouteInterrupt`, which `except Exception` lets pass.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from typing_extensions import override

_FOREVER: Final = float("inf")


class AppError(Exception):
    """Base class of this SDK's errors, and of an app's own if it likes. A task that raises one is retried."""


class RetryableError(AppError):
    """Raised by a task: try again as its retry policy says. The default for any exception; this says it in words.

    `after` is the wait before the next attempt in seconds, in place of the policy's backoff and its cap: what a server
    has said with `Retry-After`. Attempts are counted as ever.
    """

    def __init__(self, *args: object, after: float | timedelta | None = None) -> None:
        super().__init__(*args)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and (isinstance(seconds, bool) or not 0 <= seconds < _FOREVER):
            raise ValueError(f"after={after!r} must be a number of seconds that isn't negative, or a timedelta")
        self.after = seconds


class NonRetryableError(AppError):
    """Raised by a task: trying again can't help, so the call fails at once."""


class AppDefinitionError(AppError, TypeError):
    """An `App` class is wrong. Raised where the class is defined, with all faults of the class and their lines."""


class IncompleteAppError(AppDefinitionError, AttributeError):
    """A class without a route is used as an app. Others may derive from it, and its tasks can be called."""


class AppNotFoundError(AppError, LookupError):
    """No app, entry point or task has that name. The message lists those there are."""


class MisuseError(NonRetryableError):
    """Something was called where it can't work, or with what it can't take. The message says what to do instead."""


class NotAvailableError(MisuseError):
    """Something that programs for the App Framework may call, and that this SDK doesn't have yet."""


class TaskFailedError(AppError):
    """A task call ended in failure for good. Raised in the route where the call is awaited; catching it is part of the
    plan, and a replay raises it again.

    Only names and texts survive the way from the task's pod, so the original exception is here as data.
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
        said = f": {error_message}" if error_message else ""
        super().__init__(f"task {task!r} failed after {times}: {error_type}{said}")
        self.task = task
        self.type = error_type
        """Name of the original exception's class; or the reason when it was none, such as `OOMKilled`."""
        self.message = error_message
        self.traceback = traceback
        """Text of the original traceback, as far as it lies in the app's own code. Empty if there was none."""
        self.attempts = attempts
        self.retryable = retryable
        """Whether the last failure was of a kind that is retried: then the attempts were used up."""
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
    """The handler's preflight check says that the run wouldn't find what it needs, and `preflight_gate_mode` is
    `"hard"`: the run fails before its route begins."""


class RouteDeadlockError(AppError):
    """The route waits for something that no task and no timer will ever bring."""


class RouteInterrupt(BaseException):
    """Base of what ends a route whatever its code catches. Never raise or catch it in an app."""


class RouteViolation(RouteInterrupt):
    """The route did what a replay can't repeat: blocking I/O, a thread, a key used twice. The run stalls until the app
    is corrected. The message has the line and what to do."""
