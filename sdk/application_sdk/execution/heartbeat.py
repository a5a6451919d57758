"""`run_in_thread` for helpers that have no `self`: it belongs to the task that calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from application_sdk.execution.progress import calling_task
from application_sdk.execution.threads import call_in_thread

P = ParamSpec("P")
R = TypeVar("R")


async def run_in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a blocking function in a thread, so that the event loop and the heartbeats continue.

    Cancelling doesn't stop the thread: a loop in it has to ask `self.task_context.is_cancelled()`. Outside of a task
    the function runs in a thread as well.

    Args:
        function: What to call.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        What the function returns.

    Raises:
        MisuseError: In a route, which only plans.
    """
    context = calling_task("run_in_thread")
    if context is None:
        return await call_in_thread(function, *args, **kwargs)
    return await context.run_in_thread(function, *args, **kwargs)
