"""Tasks under other decorators, and tasks that override tasks."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from application_sdk.app import App, TaskFailedError, task
from application_sdk.contracts import Input, Output
from application_sdk.errors import AppDefinitionError
from application_sdk.testing import run_app


class Order(Input):
    n: int = 0


class Said(Output):
    text: str = ""


def wrapping(function: Any) -> Any:
    @functools.wraps(function)
    async def inner(*args: object) -> object:
        return await function(*args)

    return inner


def nameless(function: Any) -> Any:
    return lambda *args: function(*args)


def partial(function: Any) -> Any:
    return functools.partial(function)


@pytest.mark.parametrize("decorator", [wrapping, nameless, partial, lambda function: wrapping(nameless(function))])
def test_a_decorator_above_task_is_refused(decorator: Callable[[Any], Any]) -> None:
    with pytest.raises(
        AppDefinitionError, match=r"'fetch' .*has a decorator above @task.*write @task above all others"
    ):

        class Shop(App):
            @decorator
            @task
            async def fetch(self, input: Order) -> Said:
                return Said()

            async def run(self, input: Order) -> Said:
                return Said()


def test_a_decorator_below_task_and_one_that_returns_it_are_fine() -> None:
    class Shop(App):
        @(lambda function: function)
        @task
        @wrapping
        async def fetch(self, input: Order) -> Said:
            return Said(text="fetched")

        async def run(self, input: Order) -> Said:
            return await self.fetch(input)

    assert run_app(Shop, Order()).output == Said(text="fetched")


class Base(App, abstract=True):
    @task
    async def fetch(self, input: Order) -> Said:
        return Said(text=f"{input.n} at {self.task_context.attempt}")

    @task
    def count(self, input: Order) -> Said:
        return Said(text="counted")

    @task
    async def other(self, input: Order) -> Said:
        return Said()


class Child(Base):
    @task
    async def fetch(self, input: Order) -> Said:
        base = await super().fetch(Order(n=input.n + 1))
        return Said(text=f"child of {base.text}")

    @task
    def count(self, input: Order) -> Said:
        return Said(text=f"{super().count(input).text} twice")  # type: ignore[attr-defined]

    @task
    async def greedy(self, input: Order) -> Said:
        return await super().other(input)

    async def run(self, input: Order) -> Said:
        return Said(text=f"{(await self.fetch(input)).text}, {(await self.count(input)).text}")


def test_a_task_that_overrides_one_calls_it_within_its_attempt() -> None:
    run = run_app(Child, Order())
    assert run.output == Said(text="child of 1 at 1, counted twice")
    assert run.executed == ["fetch", "count"]


def test_a_task_calls_no_task_that_it_does_not_override() -> None:
    class Greedy(Child):
        async def run(self, input: Order) -> Said:
            try:
                return await self.greedy(input)
            except TaskFailedError as error:
                return Said(text=str(error))

    assert "a task can't call a task" in run_app(Greedy, Order()).output.text  # type: ignore[attr-defined]


def test_a_call_that_the_route_leaves_behind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Hasty(Child):
        async def run(self, input: Order) -> Said:
            asyncio.create_task(self.fetch(input))  # noqa: RUF006 - what is tested
            return Said()

    with caplog.at_level(logging.WARNING, "apprun.route"):
        run_app(Hasty, Order())
    assert "nobody awaited fetch() at " in caplog.text


def test_calls_that_were_awaited_or_cancelled_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class Tidy(Child):
        async def run(self, input: Order) -> Said:
            left = asyncio.create_task(self.fetch(input))
            await self.count(input)
            left.cancel()
            await asyncio.wait([left])
            return Said()

    run_app(Tidy, Order())
    assert "nobody awaited" not in caplog.text
