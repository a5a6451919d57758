"""The errors and requests that a route's exception, or its deadlock, stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from application_sdk.errors import RouteDeadlockError
from application_sdk.execution.error_info import error_fields
from application_sdk.execution.source_lines import waiting_line
from application_sdk.replay.result import ContinueWith, RouteResult

if TYPE_CHECKING:
    from application_sdk.replay.loop import RouteTask
    from application_sdk.wire.fields import ErrorFields


def route_error(error: BaseException) -> ErrorFields:
    """The error of a run whose route raised. A group of one, as a TaskGroup raises it, counts as its only member."""
    fields = error_fields(error)
    inner = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    if inner is not error:
        inner_fields = error_fields(inner)
        fields["type"], fields["message"] = inner_fields["type"], inner_fields["message"]
    return fields


def requested_continuation(error: BaseException) -> ContinueWith | None:
    """The `continue_with` of the route, if its exception is one or a group that holds one."""
    if isinstance(error, BaseExceptionGroup):
        requests = (requested_continuation(member) for member in error.exceptions)
        return next((request for request in requests if request is not None), None)
    return error if isinstance(error, ContinueWith) else None


def describe(result: RouteResult) -> str:
    """How a route ended, for the message of a divergence."""
    if result.error is None:
        return result.outcome.lower()
    return f"{result.outcome.lower()}, {result.error['type']}: {result.error['message']}"


def deadlock_error(waiting: list[RouteTask[Any]]) -> RouteDeadlockError:
    """The error of a route whose asyncio Tasks all wait for one another."""
    lines = [line for task in waiting if (line := waiting_line(task.get_coro())) is not None]
    where = ", ".join(dict.fromkeys(lines)) or "its end"
    return RouteDeadlockError(
        f"The route waits at {where}, but no task and no timer is outstanding that could wake it: what it awaits is "
        f"never set, put or released"
    )
