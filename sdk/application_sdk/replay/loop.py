"""The route's event loop: asyncio without a socket, a clock or a thread, so that the same inputs give the same steps.

Ready callbacks run first in, first out. Time stands still until `advance`, and a timer is somebody else's business: it
is announced and comes back through `fire`. Tasks and futures hash by their number, so that the sets asyncio works with
have one order in every process. `replay.run` turns the loop; this module knows no route and no engine.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, TypeVarTuple

from typing_extensions import override

from application_sdk.errors import RouteInterrupt
from application_sdk.execution.source_lines import stop_at
from application_sdk.replay.generators import Generators
from application_sdk.replay.unsupported_loop import NoInputOutput
from application_sdk.replay.violations import Violations

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger("apprun.route")

BUSY_LIMIT = 1_000_000
"""Callbacks in a row without a pause: after so many the route counts as one that never waits."""


class Timers(Protocol):
    """Keeps the loop's timers, since the loop has no clock that runs."""

    def start(self, handle: asyncio.TimerHandle, seconds: float, fire: Callable[[asyncio.TimerHandle], None]) -> None:
        """Call `fire(handle)` in `seconds`."""
        ...

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        """Drop `handle`. Also called for handles that have fired."""
        ...


class RouteTask(asyncio.Task[T]):
    """A task with a stable hash. `number` counts the loop's tasks and futures."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        number: int,
        loop: RouteLoop,
        name: str | None,
        context: contextvars.Context | None,
    ) -> None:
        self.number = number  # First: the base class puts the new task into a set.
        super().__init__(coro, loop=loop, name=name or f"Task-{number}", context=context)

    @override
    def __hash__(self) -> int:
        return self.number


class RouteFuture(asyncio.Future[T]):
    """A future with a stable hash."""

    def __init__(self, *, number: int, loop: RouteLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    @override
    def __hash__(self) -> int:
        return self.number


class BusyRoute(RouteInterrupt):
    """The route ran `BUSY_LIMIT` callbacks without ever waiting."""


class RouteLoop(NoInputOutput):
    """Runs callbacks when told to, until none is ready."""

    def __init__(self, timers: Timers, violations: Violations) -> None:
        super().__init__(violations.refuse)
        self._timers = timers
        self._violations = violations
        self._ready: deque[asyncio.Handle] = deque()
        self._numbers = 0
        self._time = 0.0
        self._closed = False
        self._debug = False
        self._running = False
        self._generators = Generators()
        self._exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._hidden: list[RouteTask[Any]] = []
        self._conditions: list[tuple[Callable[[], bool], RouteFuture[None]]] = []
        self.quiet = False
        """Whether reports of exceptions that nobody retrieved are dropped."""

    # What replay.run does with it

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make this the thread's running loop, for `turn`. Whoever waits for completions leaves it first."""
        outer = events._get_running_loop()  # noqa: SLF001 - the documented way for a loop implementation
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self)  # noqa: SLF001
        sys.set_asyncgen_hooks(firstiter=self._generators.begin, finalizer=self._finalize)
        # Until the loop is closed: the collector also comes while it rests, when a task's body runs in this process.
        self._generators.watch_collector()
        self._running = True
        try:
            yield
        finally:
            self._running = False
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(outer)  # noqa: SLF001

    def turn(self) -> None:
        """Run callbacks until none is ready or the route has violated a rule. Raises BusyRoute when there is no end."""
        ready = self._ready
        violations = self._violations
        left = BUSY_LIMIT
        while violations.first is None:
            while ready and violations.first is None:
                handle = ready.popleft()
                if not handle._cancelled:  # noqa: SLF001 - asyncio's own loops ask so too
                    handle._run()  # noqa: SLF001
                left -= 1
                if left < 0:
                    raise BusyRoute("the route has run a million steps without waiting for a task or a timer")
            if not self._meet_conditions():
                return

    def advance(self, time: float) -> None:
        """Set the loop's clock, in seconds since the run began. It never goes back."""
        self._time = max(self._time, time)

    def fire(self, handle: asyncio.TimerHandle) -> None:
        """Run a timer's callback in the next turn."""
        if not handle.cancelled():
            self._ready.append(handle)

    def next_number(self) -> int:
        """A number for a task or future of this loop."""
        self._numbers += 1
        return self._numbers

    def wait_for_condition(self, condition: Callable[[], bool]) -> asyncio.Future[None]:
        """A future that is done when `condition()` is true, asked whenever nothing else is ready."""
        future: RouteFuture[None] = self.create_future()
        self._conditions.append((condition, future))
        return future

    def hide(self, task: RouteTask[Any]) -> None:
        """Leave a task out of `asyncio.all_tasks()`: code that cancels or awaits all others doesn't mean ours."""
        asyncio.tasks._unregister_task(task)  # noqa: SLF001 - the documented way for a task implementation
        self._hidden.append(task)

    def unfinished_tasks(self) -> list[RouteTask[Any]]:
        """The tasks that aren't done, oldest first, hidden ones included."""
        tasks = [task for task in asyncio.all_tasks(self) if isinstance(task, RouteTask)]
        tasks += [task for task in self._hidden if not task.done()]
        return sorted(tasks, key=lambda task: task.number)

    def open_generators(self) -> list[AsyncGenerator[object, object]]:
        """The async generators that were begun and may not be exhausted."""
        return self._generators.open()

    def close_collected_generators(self) -> None:
        """Have those closed that the collector has found."""
        for generator in self._generators.kept():
            self.create_task(_close(generator))

    async def close_unreachable_generators(self) -> None:
        """Close the async generators that only the garbage collector can find, in the order in which they were begun.

        The collector comes when the process' memory suggests it, so what it finds is kept until this is awaited.
        """
        for generator in self._generators.unreachable():
            try:  # Each to its end, before the next is begun.
                await generator.aclose()
            except Exception as error:  # noqa: BLE001 - the user's `finally`: asyncio reports such an error and goes on
                message = f"an error while an asynchronous generator was closed: {generator!r}"
                self.call_exception_handler({"message": message, "exception": error, "asyncgen": generator})

    def _meet_conditions(self) -> bool:
        met = False
        for entry in self._conditions[:]:
            condition, future = entry
            if future.done():
                self._conditions.remove(entry)
                continue
            try:
                if not condition():
                    continue
            except Exception as error:  # noqa: BLE001 - the user's condition: the one who waits for it gets it
                future.set_exception(error)
            else:
                future.set_result(None)
            self._conditions.remove(entry)
            met = True
        return met

    def _finalize(self, generator: AsyncGenerator[object, object]) -> None:
        if not self._closed and not self._generators.keep_if_collected(generator):
            self.create_task(_close(generator))

    # What asyncio needs

    @override
    def time(self) -> float:
        return self._time

    @override
    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self._time + delay, callback, args, self, context)
        if delay <= 0:
            self._ready.append(handle)
        else:
            self._timers.start(handle, delay, self.fire)
        return handle

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self._time, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._timers.cancel(handle)

    @override
    def create_future(self) -> RouteFuture[Any]:
        return RouteFuture(number=self.next_number(), loop=self)

    @override
    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **kwargs: object,
    ) -> RouteTask[T]:
        return RouteTask(coro, number=self.next_number(), loop=self, name=name, context=context)

    @override
    def is_running(self) -> bool:
        return self._running

    @override
    def is_closed(self) -> bool:
        return self._closed

    @override
    def close(self) -> None:
        self._closed = True
        self._generators.leave_collector()
        self._ready.clear()
        self._conditions.clear()

    @override
    def get_debug(self) -> bool:
        return self._debug

    @override
    def set_debug(self, enabled: bool) -> None:
        self._debug = enabled

    @override
    def get_task_factory(self) -> None:
        return None

    @override
    def get_exception_handler(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None:
        return self._exception_handler

    @override
    def set_exception_handler(
        self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        self._exception_handler = handler

    @override
    def default_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        _log.error("%s", context.get("message") or "Unhandled exception in the route", exc_info=error)

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.quiet or self._violations.first is not None or isinstance(error, RouteInterrupt):
            return
        if self._exception_handler is not None:
            self._exception_handler(self, context)
        else:
            self.default_exception_handler(context)


async def _close(generator: AsyncGenerator[object, object]) -> None:
    await generator.aclose()


stop_at(RouteLoop.turn.__code__)
