"""Blocking functions beside the event loop, in threads that nothing waits for.

Not asyncio's executor: a body that hangs would keep the loop, and with it the report of its own timeout, from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


async def call_in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What `function` returns or raises, run in a daemon thread of its own with a copy of the caller's context.

    When the caller is cancelled the thread runs on: Python has no way to stop it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()
    context = contextvars.copy_context()

    def succeed(result: R) -> None:
        if not future.done():
            future.set_result(result)

    def fail(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    def work() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except StopIteration as error:
            # A future refuses it, since it would end the coroutine that awaits.
            _tell(loop, fail, RuntimeError(f"the function raised {error!r}"))
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who awaits
            _tell(loop, fail, error)
        else:
            _tell(loop, succeed, result)

    threading.Thread(target=work, name=getattr(function, "__name__", "task"), daemon=True).start()
    return await future


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], value: T) -> None:
    try:
        loop.call_soon_threadsafe(callback, value)
    except RuntimeError:
        pass  # The loop was closed meanwhile: nobody waits any more.
