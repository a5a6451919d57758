"""Blocking, threaded code beside an asyncio loop, in one thread: each of its threads is a greenlet that gives control
back wherever it would block. So a whole process runs in virtual time, in one order, and can be killed at any place.

`Process.start` makes a process; the lookalikes of `threading`, `concurrent.futures` and `time` below are what its code
is to use. They work in greenlets only.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

import greenlet
from tests.support.virtual_time import VirtualLoop, wall

THROWS = 200
"""How often a killed greenlet is told so again when it goes on blocking, as clean-up code may."""


class Killed(BaseException):
    """The process was killed. Nothing that its code still does has an effect."""


class GreenletThread(greenlet.greenlet):
    """One thread of a simulated process."""

    def __init__(self, process: Process, main: Callable[[], object], name: str) -> None:
        super().__init__(self._main)
        self.process = process
        self.name = name
        self.ended = asyncio.Event()
        self._target = main
        self._running_loop: asyncio.AbstractEventLoop | None = None
        self._hooks: Any = (None, None)

    def _main(self, _: object = None) -> None:
        try:
            self._target()
        except Killed:
            pass
        except BaseException as error:
            self.process.crashed(error)

    async def drive(self) -> None:
        """Run it to its end, awaiting whatever it blocks on."""
        value: object = None
        error: BaseException | None = None
        throws = 0
        try:
            while True:
                if self.process.dead and not self.dead:
                    error = Killed()
                    throws += 1
                    assert throws < THROWS, f"{self.name} doesn't end"
                request = self._go_on(value, error)
                if self.dead:
                    return
                value, error = None, None
                if self.process.dead:
                    request.close()
                    continue
                try:
                    value = await request
                except asyncio.CancelledError:
                    self.process.dead = True
                except BaseException as raised:
                    error = raised
        finally:
            self.ended.set()

    def _go_on(self, value: object, error: BaseException | None) -> Any:
        """Switch to it. What the interpreter keeps for a thread is exchanged, since the thread is the same."""
        outer, hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self._running_loop)
        sys.set_asyncgen_hooks(*self._hooks)
        self.parent = greenlet.getcurrent()
        try:
            return self.throw(error) if error is not None else self.switch(value)
        finally:
            self._running_loop, self._hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
            asyncio._set_running_loop(outer)
            sys.set_asyncgen_hooks(*hooks)


class Process:
    """Greenlets that live and die together. `exit_code` is None while it lives, and after a kill by signal 9."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.exit_code: int | None = None
        self.last_words = ""
        """What it has written to standard error at its end, which kubelet keeps."""
        self.errors: list[BaseException] = []
        self.children: list[Process] = []
        """Processes that end with this one."""
        self.on_sigterm: Callable[[], None] | None = None
        """What SIGTERM does; None ends the process."""
        self.ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, main: Callable[[], int]) -> None:
        """Run `main`; its result ends the process with that code."""

        def run() -> None:
            self.exit(main())

        self.spawn(run, "main")

    def spawn(self, main: Callable[[], object], name: str) -> GreenletThread:
        thread = GreenletThread(self, main, f"{self.name}/{name}")
        task = _hub().create_task(thread.drive())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return thread

    def exit(self, code: int) -> None:
        """As `os._exit` does: all greenlets end where they are."""
        if not self.dead:
            self.exit_code = code
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self.dead = True
        self.ended.set()
        for child in self.children:
            child.kill()
        current = greenlet.getcurrent()
        for task in list(self._tasks):
            task.cancel()
        if isinstance(current, GreenletThread) and current.process is self:
            raise Killed

    def crashed(self, error: BaseException) -> None:
        """A greenlet raised: a bug of the code under test, or of the simulation."""
        self.errors.append(error)
        if not self.dead:
            self.exit_code = 1
            self.dead = True
            self.ended.set()
            for child in self.children:
                child.kill()
            for task in list(self._tasks):
                task.cancel()


def _hub() -> asyncio.AbstractEventLoop:
    """The virtual loop, also when a greenlet asks that has another one."""
    assert VirtualLoop.current is not None
    return VirtualLoop.current


def current() -> GreenletThread:
    thread = greenlet.getcurrent()
    assert isinstance(thread, GreenletThread), "only code of a simulated process may block here"
    return thread


def block(request: Coroutine[Any, Any, Any]) -> Any:
    """Await something on the virtual loop, from a greenlet."""
    thread = current()
    if thread.process.dead:
        request.close()
        raise Killed
    assert thread.parent is not None
    return thread.parent.switch(request)


def sleep(seconds: float) -> None:
    block(asyncio.sleep(max(seconds, 0)))


# Lookalikes of the standard library


class Lock:
    """Also tells apart who waits: control changes hands only where a greenlet blocks."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[asyncio.Event] = deque()

    def acquire(self) -> bool:
        while self._held:
            event = asyncio.Event()
            self._waiting.append(event)
            block(event.wait())  # type: ignore[arg-type]
        self._held = True
        return True

    def release(self) -> None:
        self._held = False
        if self._waiting:
            self._waiting.popleft().set()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(Lock):
    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[asyncio.Event] = []

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        ends = None if timeout is None else _hub().time() + timeout
        while not predicate():
            remaining = None if ends is None else ends - _hub().time()
            if remaining is not None and remaining <= 0:
                return False
            event = asyncio.Event()
            self._sleepers.append(event)
            self.release()
            try:
                block(_wait(event, remaining))
            finally:
                self._held = True
        return True

    def notify_all(self) -> None:
        for event in self._sleepers:
            event.set()
        self._sleepers.clear()


class Event:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._event.is_set():
            block(_wait(self._event, timeout))
        return self._event.is_set()


class Thread:
    def __init__(self, target: Callable[..., object], args: tuple[object, ...] = (), name: str = "thread",
                 daemon: bool = False) -> None:  # fmt: skip
        self._main = lambda: target(*args)
        self._name = name
        self._strand: GreenletThread | None = None

    def start(self) -> None:
        self._strand = current().process.spawn(self._main, self._name)

    def join(self, timeout: float | None = None) -> None:
        assert self._strand is not None
        block(_wait(self._strand.ended, timeout))

    def is_alive(self) -> bool:
        return self._strand is not None and not self._strand.ended.is_set()


class ThreadPoolExecutor:
    def __init__(self, max_workers: int, prefix: str = "") -> None:
        self._free = max_workers
        self._prefix = prefix
        self._queue: deque[Callable[[], None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0
        self._closed = False

    def submit(self, function: Callable[..., object], *args: object) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self._queue.append(lambda: function(*args))
        self._begin()

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        items = list(items)
        results: list[tuple[Any, BaseException | None] | None] = [None for _ in items]
        changed = asyncio.Event()

        def work(number: int, item: Any) -> None:
            try:
                results[number] = (function(item), None)
            except Killed:
                raise
            except BaseException as error:
                results[number] = (None, error)
            changed.set()

        for number, item in enumerate(items):
            self.submit(work, number, item)
        for number in range(len(items)):
            while (result := results[number]) is None:
                changed.clear()
                block(changed.wait())  # type: ignore[arg-type]
            value, error = result
            if error is not None:
                raise error
            yield value

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        self._closed = True
        if cancel_futures:
            self._queue.clear()
        if wait and self._running:
            block(self._idle.wait())  # type: ignore[arg-type]

    def _begin(self) -> None:
        if not self._free or not self._queue:
            return
        self._free -= 1
        self._running += 1
        self._idle.clear()
        current().process.spawn(self._work, self._prefix)

    def _work(self) -> None:
        try:
            while self._queue:
                self._queue.popleft()()
        finally:
            self._free += 1
            self._running -= 1
            if not self._running:
                self._idle.set()


class GreenletLoop(asyncio.SelectorEventLoop):
    """The event loop of a simulated process: waits in virtual time, and signals are the simulation's."""

    def __init__(self) -> None:
        self._process = current().process
        self._news = asyncio.Event()
        super().__init__(_BlockingSelector(self._news))

    def time(self) -> float:
        return _hub().time()

    def _write_to_self(self) -> None:
        self._news.set()

    def _make_self_pipe(self) -> None:
        """None is needed: nobody writes from another thread."""

    def _close_self_pipe(self) -> None:
        pass

    def __del__(self) -> None:
        """A process that was killed closes nothing."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._process.dead:
            super().call_exception_handler(context)

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: object) -> None:
        self._process.on_sigterm = lambda: self.call_soon_threadsafe(callback, *args)


class _BlockingSelector(selectors.SelectSelector):
    """Nothing is ever ready but time, and what other greenlets call."""

    def __init__(self, news: asyncio.Event) -> None:
        super().__init__()
        self._news = news

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            block(_wait(self._news, timeout))
        self._news.clear()
        return []


async def _wait(event: asyncio.Event, timeout: float | None) -> None:  # noqa: ASYNC109 (None: no limit)
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass


def now() -> float:
    """The time of day."""
    return wall()
