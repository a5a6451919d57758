"""The threads of a task: blocking functions beside its event loop, and which attempt a thread acts for.

A blocking function has a thread that nothing waits for, not one of asyncio's executor: a body that hangs would keep
the loop, and with it the report of its own timeout, from ending.

A new thread begins with an empty context. Without `share_runtime_with_threads` a helper thread of a task would belong
to no attempt: no idempotency key, no heartbeats, and a task called in it would run as a plain method. Routes are left
alone: their guard decides about threads.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from application_sdk.execution import current

if TYPE_CHECKING:
    from concurrent.futures import Future

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_POOL_MODULE: Final = "concurrent.futures.thread"
_THREAD: Final = threading.Thread
_patching: Final = threading.Lock()


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
            _call_soon(loop, fail, RuntimeError(f"the function raised {error!r}"))
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who awaits
            _call_soon(loop, fail, error)
        else:
            _call_soon(loop, succeed, result)

    threading.Thread(target=work, name=getattr(function, "__name__", "task"), daemon=True).start()
    return await future


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], value: T) -> None:
    try:
        loop.call_soon_threadsafe(callback, value)
    except RuntimeError:
        pass  # The loop was closed meanwhile: nobody waits any more.


def share_runtime_with_threads() -> None:
    """From now on a thread, and work given to a `ThreadPoolExecutor`, has the runtime of whoever started it.

    Idempotent, and for the whole process: which attempt a thread belongs to is decided when it is started.
    """
    with _patching:
        # Looked at each time: the guard of a route in this process puts its own in place, and takes ours out with it.
        if not getattr(_THREAD.start, "shares_runtime", False):
            _THREAD.start = _sharing(_THREAD.start)  # type: ignore[method-assign, assignment]
    _share_with_pools()


def _sharing(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """`start`, which may be Python's own or what has wrapped that, such as a tracing library's."""

    def start_with_runtime(thread: threading.Thread) -> None:
        # A pool starts its threads itself, so by the time of its second piece of work its module is known here.
        _share_with_pools()
        runtime = _runtime_of_task()
        if runtime is not None:
            thread.run = _bound(runtime, thread.run)  # type: ignore[method-assign]
        start(thread)

    start_with_runtime.shares_runtime = True  # type: ignore[attr-defined]
    return start_with_runtime


def _share_with_pools() -> None:
    """Pool threads outlive the work that they were started for: each piece of work brings its own runtime.

    The module is only patched where something else has loaded it: a task pod without pools doesn't pay for it.
    """
    module = sys.modules.get(_POOL_MODULE)
    if module is None or getattr(module.ThreadPoolExecutor.submit, "shares_runtime", False):
        return
    submit = module.ThreadPoolExecutor.submit

    def submit_with_runtime(pool: object, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return submit(pool, _bound(_runtime_of_task(), function), *args, **kwargs)  # type: ignore[no-any-return]

    submit_with_runtime.shares_runtime = True  # type: ignore[attr-defined]
    module.ThreadPoolExecutor.submit = submit_with_runtime


def _runtime_of_task() -> current.Runtime | None:
    runtime = current.get()
    return None if runtime is None or runtime.in_route else runtime


def _bound(runtime: current.Runtime | None, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        token = current.enter(runtime)
        try:
            return function(*args, **kwargs)
        finally:
            current.leave(token)

    return run
