"""`holding_progress` for helpers that have no `self`: it belongs to the task that calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import ParamSpec, Protocol, TypeVar, cast

from application_sdk.errors import MisuseError
from application_sdk.execution import current

P = ParamSpec("P")
R = TypeVar("R")


class ProgressWatchdogMode(StrEnum):
    """Values of `@task(progress_watchdog=…)`."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


class ProgressContext(Protocol):
    """The part of a `TaskContext` that these helpers use. The class itself belongs to a layer above."""

    async def run_in_thread(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def holding_progress(self, label: str, *, timeout: float | None = None) -> AbstractAsyncContextManager[None]: ...


@asynccontextmanager
async def holding_progress(
    label: str,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - a promise to the watchdog, which nobody here waits out
) -> AsyncIterator[None]:
    """Tell the stall watchdog that a step of the calling task may be silent for a while.

    Outside of a task it does nothing.

    Args:
        label: The step, as the run's progress message shows it.
        timeout: How long the step may be silent, in seconds. None, the default, sets no limit.

    Raises:
        MisuseError: In a route, which only plans.
    """
    context = calling_task("holding_progress")
    if context is None:
        yield
        return
    async with context.holding_progress(label, timeout=timeout):
        yield


def calling_task(action: str) -> ProgressContext | None:
    """The context of the task that calls a helper; None outside of a run.

    Raises:
        MisuseError: In a route. The message names `action`.
    """
    runtime = current.get()
    if runtime is None:
        return None
    if runtime.in_route:
        raise MisuseError(f"{action}() in the route, which only plans: use it in a @task")
    return cast("ProgressContext", runtime.task_context)
