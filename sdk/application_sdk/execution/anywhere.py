"""What `self.task_context` offers, for helpers that have no `self`: it is the context of the task that calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import ParamSpec, TypeVar, cast

from application_sdk.attempt.task_context import TaskContext
from application_sdk.attempt.threads import call_in_thread
from application_sdk.errors import MisuseError
from application_sdk.execution import current

P = ParamSpec("P")
R = TypeVar("R")


class ProgressWatchdogMode(StrEnum):
    """Values of `@task(progress_watchdog=…)`."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


async def run_in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """In a task: call a blocking function in a thread, while heartbeats go on. Elsewhere: in a thread."""
    context = _context("run_in_thread")
    if context is None:
        return await call_in_thread(function, *args, **kwargs)
    return await context.run_in_thread(function, *args, **kwargs)


@asynccontextmanager
async def holding_progress(
    label: str,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - a promise to the watchdog, which nobody here waits out
) -> AsyncIterator[None]:
    """In a task: as `self.holding_progress`. Elsewhere it does nothing."""
    context = _context("holding_progress")
    if context is None:
        yield
        return
    async with context.holding_progress(label, timeout=timeout):
        yield


def _context(action: str) -> TaskContext | None:
    runtime = current.get()
    if runtime is None:
        return None
    if runtime.in_route:
        raise MisuseError(f"{action}() in the route, which only plans: use it in a @task")
    return cast("TaskContext", runtime.task_context)
