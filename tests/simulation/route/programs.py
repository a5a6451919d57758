"""Random routes as data: an app that interprets a small program, and the strategy that writes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, TypeAlias

from hypothesis import strategies as st

from application_sdk.app import App, NonRetryableError, TaskFailedError, task
from application_sdk.contracts import Input, Output

Program: TypeAlias = "list[int | float | str | Program]"


class ProgramInput(Input):
    program: str


class ProgramOutput(Output):
    trace: str


class Work(Input):
    value: int


class Done(Output):
    value: int


class Interpreter(App):
    """Executes a program. What every statement saw goes into the trace, in the order in which it was seen."""

    @task(retry_max_attempts=3)
    async def work(self, input: Work) -> Done:
        if input.value % 7 == 3:
            raise NonRetryableError(f"never {input.value}")
        if input.value % 5 == 2 and self.task_context.attempt == 1:
            raise ValueError(f"not yet {input.value}")
        return Done(value=input.value * 3 + 1)

    @task(retry_max_attempts=2)
    async def other(self, input: Work) -> Done:
        return Done(value=-input.value)

    async def run(self, input: ProgramInput) -> ProgramOutput:
        trace: list[str] = []
        await Interpretation(self, trace).run(json.loads(input.program))
        trace.append(f"{self.now().isoformat()} {self.random().random():.6f} {self.uuid()}")
        return ProgramOutput(trace="\n".join(trace))


class EndingInput(ProgramInput):
    ending: Literal["well", "raise", "stuck"] = "well"


class EndingInterpreter(Interpreter):
    """Executes a program and then ends as it is told; whatever the end, tasks clean up."""

    async def run(self, input: EndingInput) -> ProgramOutput:  # type: ignore[override]
        done = await super().run(input)
        if input.ending == "raise":
            raise ValueError(done.trace)
        if input.ending == "stuck":
            try:
                await asyncio.Event().wait()
            finally:
                await self.work(Work(value=101))
        return done

    async def on_complete(self) -> None:
        await asyncio.gather(self.other(Work(value=98)), self.other(Work(value=99)))
        await super().on_complete()


class Interpretation:
    def __init__(self, app: Interpreter, trace: list[str]) -> None:
        self.app = app
        self.trace = trace
        self.keys = 0
        self.kinds: dict[str, Callable[..., Awaitable[int]]] = {
            "work": self.work,
            "other": self.other,
            "keyed": self.keyed,
            "sleep": self.sleep,
            "seq": self.seq,
            "chain": self.chain,
            "gather": self.gather,
            "group": self.group,
            "race": self.race,
            "completed": self.completed,
            "timeout": self.timeout,
            "shield": self.shield,
            "catch": self.catch,
            "queue": self.queue,
            "semaphore": self.semaphore,
            "background": self.background,
            "condition": self.condition,
            "failing": self.failing,
            "cleanup": self.cleanup,
            "stream": self.stream,
            "waiting": self.waiting,
            "waitfor": self.wait_for,
            "gate": self.gate,
            "stock": self.stock,
        }

    async def run(self, program: Program) -> int:
        statement, *arguments = program
        result = await self.kinds[str(statement)](*arguments)
        self.trace.append(f"{statement} {result} at {asyncio.get_running_loop().time():.3f}")
        return result

    async def work(self, value: int) -> int:
        try:
            return (await self.app.work(Work(value=value))).value
        except TaskFailedError as error:
            return -1000 - error.attempts

    async def other(self, value: int) -> int:
        return (await self.app.other.options(timeout_seconds=5)(Work(value=value))).value

    async def keyed(self, value: int) -> int:
        self.keys += 1
        return (await self.app.other.keyed(f"key-{self.keys}")(Work(value=value))).value

    async def sleep(self, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 0

    async def seq(self, *steps: Program) -> int:
        return sum([await self.run(step) for step in steps])

    async def chain(self, value: int, length: int) -> int:
        for _ in range(length):
            value = abs((await self.app.other(Work(value=value))).value) % 4
        return value

    async def gather(self, *branches: Program) -> int:
        results = await asyncio.gather(*(self.run(branch) for branch in branches))
        return sum((index + 1) * result for index, result in enumerate(results))

    async def group(self, *branches: Program) -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.run(branch)) for branch in branches]
        return sum((index + 1) * task.result() for index, task in enumerate(tasks))

    async def race(self, *branches: Program) -> int:
        tasks = {asyncio.create_task(self.run(branch)) for branch in branches}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for loser in pending:
            loser.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        winner = next(iter(done)).result()
        # The winner decides what comes next: this is where a wrong order acts twice.
        return winner + (await self.app.other(Work(value=abs(winner) % 11))).value

    async def completed(self, *branches: Program) -> int:
        total = 0
        for position, next_done in enumerate(asyncio.as_completed([self.run(branch) for branch in branches])):
            total += (position + 1) * await next_done
        return total

    async def timeout(self, seconds: float, body: Program) -> int:
        try:
            async with asyncio.timeout(seconds):
                return await self.run(body)
        except TimeoutError:
            return -7

    async def shield(self, seconds: float, body: Program) -> int:
        inner = asyncio.create_task(self.run(body))
        try:
            return await asyncio.wait_for(asyncio.shield(inner), seconds)
        except TimeoutError:
            return await inner - 1

    async def catch(self, value: int) -> int:
        try:
            await asyncio.gather(self.app.work(Work(value=value)), self.app.work(Work(value=3)))
        except TaskFailedError as error:
            return error.attempts
        return 0

    async def queue(self, *branches: Program) -> int:
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def produce(branch: Program) -> None:
            await queue.put(await self.run(branch))

        producers = [asyncio.create_task(produce(branch)) for branch in branches]
        total = 0
        for position in range(len(branches)):
            total += (position + 1) * await queue.get()
        await asyncio.gather(*producers)
        return total

    async def semaphore(self, limit: int, *branches: Program) -> int:
        semaphore = asyncio.Semaphore(limit)

        async def bounded(branch: Program) -> int:
            async with semaphore:
                return await self.run(branch)

        return sum(await asyncio.gather(*(bounded(branch) for branch in branches)))

    async def background(self, detached: Program, body: Program) -> int:
        task = asyncio.create_task(self.run(detached))
        result = await self.run(body)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        return result

    async def condition(self, *branches: Program) -> int:
        done: list[int] = []

        async def add(branch: Program) -> None:
            done.append(await self.run(branch))

        tasks = [asyncio.create_task(add(branch)) for branch in branches]
        from application_sdk.app import wait_condition

        await wait_condition(lambda: bool(done))
        first = done[0]
        await asyncio.gather(*tasks)
        return first

    async def failing(self, value: int, *branches: Program) -> int:
        """One failure cancels what runs beside it."""
        total = 0
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.run(branch)) for branch in branches]
                group.create_task(self.app.work(Work(value=value)))
            total = sum(task.result() for task in tasks)
        except* TaskFailedError as failures:
            total = -len(failures.exceptions)
        return total

    async def cleanup(self, seconds: float, body: Program) -> int:
        """What is cancelled still calls tasks."""

        async def tidy() -> int:
            try:
                return await self.run(body)
            except asyncio.CancelledError:
                self.trace.append(f"tidied {(await self.app.other(Work(value=77))).value}")
                raise

        task = asyncio.create_task(tidy())
        try:
            return await asyncio.wait_for(task, seconds)
        except TimeoutError:
            return -9

    async def stream(self, length: int, *branches: Program) -> int:
        """Results in the order in which they come, given up on after some of them."""

        async def results() -> AsyncIterator[int]:
            for next_done in asyncio.as_completed([self.run(branch) for branch in branches]):
                yield await next_done

        total = 0
        async for result in results():
            total = total * 3 + result
            length -= 1
            if length == 0:
                break
        return total

    async def waiting(self, seconds: float, *branches: Program) -> int:
        """What is done after some time, and then the rest."""
        tasks = [asyncio.create_task(self.run(branch)) for branch in branches]
        done, pending = await asyncio.wait(tasks, timeout=seconds)
        early = [task.result() for task in done]
        late = [await task for task in pending]
        return sum((index + 1) * result for index, result in enumerate([*early, *late]))

    async def wait_for(self, seconds: float, body: Program) -> int:
        try:
            return await asyncio.wait_for(self.run(body), seconds)
        except TimeoutError:
            return -5

    async def gate(self, opener: Program, *branches: Program) -> int:
        """What may begin once an event is set, which is cleared again."""
        event = asyncio.Event()

        async def through(branch: Program) -> int:
            await event.wait()
            return await self.run(branch)

        waiting = [asyncio.create_task(through(branch)) for branch in branches]
        first = await self.run(opener)
        event.set()
        await asyncio.sleep(0)
        event.clear()
        return first + sum((index + 1) * result for index, result in enumerate(await asyncio.gather(*waiting)))

    async def stock(self, *branches: Program) -> int:
        """Takers wait under a lock until enough was put in: who is served when depends on the order of completions."""
        changed = asyncio.Condition()
        amounts: list[int] = []
        total = 0

        async def put(branch: Program) -> None:
            result = await self.run(branch)
            async with changed:
                amounts.append(result)
                changed.notify_all()

        async def take(amount: int) -> None:
            nonlocal total
            async with changed:
                await changed.wait_for(lambda: len(amounts) >= amount)
                total = total * 3 + sum(amounts[:amount])
                del amounts[:amount]
            await self.app.other(Work(value=amount))

        async with asyncio.TaskGroup() as group:
            for amount in ([1] * (len(branches) - 2)) + [2]:
                group.create_task(take(amount))
            for branch in branches:
                group.create_task(put(branch))
        return total


values = st.integers(0, 12)
seconds = st.sampled_from([0.5, 1.0, 2.5, 6.0])


def _kind(name: str, *parts: st.SearchStrategy[object]) -> st.SearchStrategy[Program]:
    return st.tuples(*parts).map(lambda drawn: [name, *drawn])  # type: ignore[list-item]


def _branches(name: str, inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    return st.lists(inner, min_size=2, max_size=4).map(lambda drawn: [name, *drawn])


def _with_branches(
    name: str, argument: st.SearchStrategy[int] | st.SearchStrategy[float], inner: st.SearchStrategy[Program]
) -> st.SearchStrategy[Program]:
    return st.tuples(argument, st.lists(inner, min_size=2, max_size=4)).map(lambda drawn: [name, drawn[0], *drawn[1]])


leaves: st.SearchStrategy[Program] = st.one_of(
    _kind("work", values),
    _kind("other", values),
    _kind("keyed", values),
    _kind("sleep", seconds),
    _kind("chain", values, st.integers(1, 3)),
    _kind("catch", values),
)


def _compound(inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    return st.one_of(
        *(
            _branches(name, inner)
            for name in ("seq", "gather", "group", "race", "completed", "queue", "condition", "gate", "stock")
        ),
        _kind("timeout", seconds, inner),
        _kind("shield", seconds, inner),
        _kind("waitfor", seconds, inner),
        _with_branches("semaphore", st.integers(1, 2), inner),
        _kind("background", inner, inner),
        _kind("cleanup", seconds, inner),
        _with_branches("failing", values, inner),
        _with_branches("stream", st.integers(1, 3), inner),
        _with_branches("waiting", seconds, inner),
    )


programs: st.SearchStrategy[Program] = st.recursive(leaves, _compound, max_leaves=12)
