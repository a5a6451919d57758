"""asyncio in a route is asyncio: each program does the same there as on Python's own event loop, and does it again in a
replay, and in a driver that died after any of its steps.

The programs' timers never come due together: what would be first then, no loop promises.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.support import virtual_time
from tests.support.routes import Bench

from application_sdk.app import App
from application_sdk.contracts import Input, Output
from application_sdk.engines.memory import SimulatedCrash
from application_sdk.engines.memory.engine import Step

Say = Callable[[object], None]
Program = Callable[[Say], Awaitable[None]]
PROGRAMS: dict[str, Program] = {}


def program(function: Program) -> Program:
    PROGRAMS[function.__name__] = function  # type: ignore[attr-defined]
    return function


async def after(seconds: float, value: object = None) -> object:
    await asyncio.sleep(seconds)
    if isinstance(value, BaseException):
        raise value
    return value if value is not None else seconds


@program
async def gather(say: Say) -> None:
    say(await asyncio.gather(after(3), after(1), after(2)))
    say(await asyncio.gather(after(1, ValueError("a")), after(2), return_exceptions=True))
    try:
        await asyncio.gather(after(4, ValueError("first")), after(5, KeyError("late")), after(6))
    except ValueError as error:
        say(error)
    say(await asyncio.gather())


@program
async def gather_cancelled(say: Say) -> None:
    inner = [asyncio.create_task(after(5)), asyncio.create_task(after(6))]
    both = asyncio.gather(*inner)
    await asyncio.sleep(1)
    both.cancel("enough")
    try:
        await both
    except asyncio.CancelledError as error:
        say(error.args)
    say([task.cancelled() for task in inner])


@program
async def wait(say: Say) -> None:
    tasks = [asyncio.create_task(after(n, f"task {n}")) for n in (3, 1, 2)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    say((sorted(task.result() for task in done), len(pending)))
    done, pending = await asyncio.wait(tasks, timeout=1.5)
    say((sorted(task.result() for task in done), len(pending)))
    done, pending = await asyncio.wait(tasks)
    say((len(done), len(pending)))
    failing = [asyncio.create_task(after(1, ValueError("x"))), asyncio.create_task(after(9))]
    done, pending = await asyncio.wait(failing, return_when=asyncio.FIRST_EXCEPTION)
    say([task.exception() for task in done])
    for task in pending:
        task.cancel()
        say(await asyncio.gather(task, return_exceptions=True))


@program
async def as_completed(say: Say) -> None:
    for next_done in asyncio.as_completed([after(3), after(1), after(2)]):
        say(await next_done)
    try:
        for next_done in asyncio.as_completed([after(1), after(50)], timeout=10):
            say(await next_done)
    except TimeoutError:
        say("timed out")


@program
async def task_group(say: Say) -> None:
    async with asyncio.TaskGroup() as group:
        slow, fast = group.create_task(after(2)), group.create_task(after(1))
    say((slow.result(), fast.result()))

    async def tidy() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            say("tidied")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(tidy())
            group.create_task(after(1, ValueError("one")))
            group.create_task(after(1.25, KeyError("never")))
    except* ValueError as errors:
        say([str(error) for error in errors.exceptions])
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(tidy())
            await asyncio.sleep(0)
            raise RuntimeError("body")
    except* RuntimeError as errors:
        say([str(error) for error in errors.exceptions])

    async def spawn(group: asyncio.TaskGroup) -> None:
        group.create_task(after(1))
        async with asyncio.TaskGroup() as inner:
            inner.create_task(after(2))
        say("spawned")

    async with asyncio.TaskGroup() as group:
        group.create_task(spawn(group))


@program
async def queue(say: Say) -> None:
    work: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

    async def produce() -> None:
        for number in range(5):
            await work.put(number)
            say(f"put {number}")

    async def consume(name: str, pace: float) -> None:
        while True:
            number = await work.get()
            await asyncio.sleep(pace)
            say(f"{name} got {number}")
            work.task_done()

    consumers = [asyncio.create_task(consume("a", 1.1)), asyncio.create_task(consume("b", 1.7))]
    await produce()
    await work.join()
    for consumer in consumers:
        consumer.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    with contextlib.suppress(asyncio.QueueEmpty):
        work.get_nowait()
    first: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    last: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    for number in (2, 3, 1):
        await first.put(number)
        await last.put(number)
    say([await first.get() for _ in range(3)])
    say([await last.get() for _ in range(3)])


@program
async def event(say: Say) -> None:
    gate = asyncio.Event()

    async def through(number: int) -> None:
        await gate.wait()
        say(f"{number} is through")

    waiting = [asyncio.create_task(through(number)) for number in range(3)]
    await asyncio.sleep(2)
    say(gate.is_set())
    gate.set()
    await asyncio.gather(*waiting)
    gate.clear()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(gate.wait(), 1)
        say("never")


@program
async def lock_and_semaphore(say: Say) -> None:
    lock, semaphore = asyncio.Lock(), asyncio.BoundedSemaphore(2)

    async def locked(name: str) -> None:
        async with lock:
            say(f"{name} in")
            await asyncio.sleep(1)
            say(f"{name} out")

    async def limited(name: str, seconds: float) -> None:
        async with semaphore:
            say(f"{name} begins")
            await asyncio.sleep(seconds)
            say(f"{name} ends")

    await asyncio.gather(locked("a"), locked("b"), locked("c"))
    await asyncio.gather(*(limited(name, seconds) for name, seconds in (("p", 3), ("q", 1), ("r", 1.5), ("s", 0.25))))
    try:
        semaphore.release()
    except ValueError as error:
        say(error)


@program
async def condition(say: Say) -> None:
    changed = asyncio.Condition()
    stock: list[int] = []

    async def take(name: str, wanted: int) -> None:
        async with changed:
            await changed.wait_for(lambda: len(stock) >= wanted)
            say(f"{name} takes {stock[:wanted]}")
            del stock[:wanted]

    takers = [asyncio.create_task(take("big", 3)), asyncio.create_task(take("small", 1))]
    for number in range(4):
        await asyncio.sleep(1)
        async with changed:
            stock.append(number)
            changed.notify_all()
    await asyncio.gather(*takers)
    async with changed:
        waiting = asyncio.create_task(take("last", 1))
        await asyncio.sleep(1)
    await asyncio.sleep(0)
    async with changed:
        stock.append(9)
        changed.notify()
    await waiting


@program
async def barrier(say: Say) -> None:
    meeting = asyncio.Barrier(3)

    async def arrive(seconds: float) -> None:
        await asyncio.sleep(seconds)
        place = await meeting.wait()
        say(f"{seconds} has place {place}")

    await asyncio.gather(arrive(3), arrive(1), arrive(2))
    alone = asyncio.create_task(arrive(1))
    await asyncio.sleep(2)
    await meeting.abort()
    say(repr(await asyncio.gather(alone, return_exceptions=True)))


@program
async def timeouts(say: Say) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(1) as limit:
            await asyncio.sleep(5)
    except TimeoutError:
        say(limit.expired())
    async with asyncio.timeout(1) as limit:
        limit.reschedule(loop.time() + 10)
        await asyncio.sleep(5)
    say(limit.expired())
    try:
        async with asyncio.timeout(10):
            try:
                async with asyncio.timeout_at(loop.time() + 1):
                    await asyncio.sleep(5)
            except TimeoutError:
                say("inner")
            await asyncio.sleep(20)
    except TimeoutError:
        say("outer")
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    except TimeoutError:
        say("at once")
    async with asyncio.timeout(None):
        await asyncio.sleep(1)


@program
async def wait_for(say: Say) -> None:
    say(await asyncio.wait_for(after(1), 2))

    async def stubborn() -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            say("cleaned up")
            raise
        return "never"

    try:
        await asyncio.wait_for(stubborn(), 1)
    except TimeoutError:
        say("timed out")
    try:
        await asyncio.wait_for(after(0.5, KeyError("own")), 1)
    except KeyError as error:
        say(error)
    say(await asyncio.wait_for(after(1), None))


@program
async def shield(say: Say) -> None:
    inner = asyncio.create_task(after(3, "kept"))
    try:
        await asyncio.wait_for(asyncio.shield(inner), 1)
    except TimeoutError:
        say("gave up waiting")
    say(await inner)

    async def guarded() -> None:
        try:
            await asyncio.shield(after(2, "in the back"))
        except asyncio.CancelledError:
            say("outer cancelled")
            raise

    outer = asyncio.create_task(guarded())
    await asyncio.sleep(1)
    outer.cancel()
    await asyncio.wait([outer])
    await asyncio.sleep(2)


@program
async def cancellation(say: Say) -> None:
    async def work(name: str) -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            say((name, error.args))
            if name == "declines":
                task = asyncio.current_task()
                assert task is not None
                say((task.cancelling(), task.uncancel()))
                return "went on"
            raise
        return "done"

    yielding, declining = asyncio.create_task(work("yields")), asyncio.create_task(work("declines"))
    never_begun = asyncio.create_task(work("never begun"))
    never_begun.cancel()
    await asyncio.sleep(1)
    say((yielding.cancel("please"), declining.cancel()))
    say(await asyncio.gather(declining, yielding, never_begun, return_exceptions=True))
    say(yielding.cancel())


@program
async def all_others(say: Say) -> None:
    for number in range(3):
        asyncio.create_task(after(10 + number), name=f"left {number}")  # noqa: RUF006
    await asyncio.sleep(1)
    others = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=lambda task: task.get_name())
    say([task.get_name() for task in others])
    for task in others:
        task.cancel()
    say(await asyncio.gather(*others, return_exceptions=True))


@program
async def callbacks(say: Say) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.add_done_callback(lambda done: say(f"done with {done.result()}"))
    loop.call_soon(say, "soon")
    loop.call_later(2, future.set_result, "later")
    loop.call_at(loop.time() + 1, say, "at")
    dropped = loop.call_later(1.5, say, "never")
    dropped.cancel()
    say("now")
    say(await future)
    task = asyncio.ensure_future(after(1))
    task.add_done_callback(lambda done: say(f"task {done.result()}"))
    await task
    await asyncio.sleep(0)


@program
async def order_of_steps(say: Say) -> None:
    async def steps(name: str) -> None:
        for number in range(3):
            say(f"{name}{number}")
            await asyncio.sleep(0)

    await asyncio.gather(steps("a"), steps("b"), steps("c"))


@program
async def context(say: Say) -> None:
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")

    async def child(name: str) -> None:
        say(f"{name} is born at {place.get()}")
        place.set(name)
        await asyncio.sleep(1)
        say(f"{name} is still at {place.get()}")

    place.set("home")
    first = asyncio.create_task(child("first"), name="the first")
    place.set("away")
    second = asyncio.create_task(child("second"))
    await second
    await first
    say((place.get(), first.get_name(), len(asyncio.all_tasks())))


@program
async def generators(say: Say) -> None:
    async def numbers(count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                await asyncio.sleep(1)
                yield number
        finally:
            await asyncio.sleep(0.5)
            say("closed")

    say([number async for number in numbers(3)])
    async with contextlib.aclosing(numbers(9)) as some:  # type: ignore[type-var]
        async for number in some:
            if number == 1:
                break
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(after, 1)
        await stack.enter_async_context(asyncio.timeout(5))
        say("in the stack")


class Nothing(Input):
    pass


class Trace(Output):
    text: str = ""


def recorder() -> tuple[list[str], Say]:
    trace: list[str] = []

    def say(what: object) -> None:
        trace.append(f"{asyncio.get_running_loop().time():.2f} {what!r}")

    return trace, say


def app_of(steps: Program) -> type[App]:
    class Running(App):
        async def run(self, input: Nothing) -> Trace:
            trace, say = recorder()
            await steps(say)
            return Trace(text="\n".join(trace))

    return Running


async def on_pythons_own_loop(steps: Program) -> str:
    trace, say = recorder()
    await steps(say)
    return "\n".join(trace)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_route_does_what_pythons_own_loop_does(name: str) -> None:
    expected = virtual_time.run(on_pythons_own_loop(PROGRAMS[name]))
    result = Bench(app_of(PROGRAMS[name]), Nothing()).run()
    assert result.output is not None, result
    assert result.output["text"].splitlines() == expected.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_the_same_after_a_crash_at_every_step(name: str) -> None:
    app = app_of(PROGRAMS[name])
    calm = Bench(app, Nothing())
    expected = calm.run()
    assert calm.run() == expected
    died: set[Step] = set()

    def crash(step: Step) -> bool:
        if step in died:
            return False
        died.add(step)
        return True

    crashed = Bench(app, Nothing())
    for _ in range(500):
        with contextlib.suppress(SimulatedCrash):
            assert crashed.run(crash) == expected
            break
    else:
        raise AssertionError("the route never ended")
    assert [entry.key for entry in crashed.world.ledger] == [entry.key for entry in calm.world.ledger]
