"""A route that no longer fits its ledger stalls before anything runs: told are the call, the field and the line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.routes import Bench

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.engines.memory import SimulatedCrash
from application_sdk.execution.engine import ScheduledCall
from application_sdk.replay.divergence import input_changes


class Order(Input):
    id: int = 0
    name: str = "x"


class Done(Output):
    id: int = 0


class Base(App, abstract=True):
    @task
    async def fetch(self, input: Order) -> Done:
        return Done(id=input.id)

    @task
    async def store(self, input: Order) -> Done:
        return Done(id=input.id)


Body = Callable[..., Awaitable[Done]]


def route(body: Body) -> type[App]:
    class Routed(Base):
        async def run(self, input: Order) -> Done:
            return await body(self, input)

    return Routed


async def original(self: Base, input: Order) -> Done:
    await self.fetch(Order(id=1))
    await self.store(Order(id=2))
    return await self.store(Order(id=3))


def divergence(changed: Body, before: Body = original) -> str:
    bench = Bench(route(before), Order())
    assert bench.run().outcome == "Succeeded"
    executed, calls = len(bench.world.executions), set(bench.world.calls)
    result = bench.run(app=route(changed))
    assert result.outcome == "Stalled", result
    assert result.error is not None
    assert result.error.get("stall") == "NonDeterministicRun"
    assert (len(bench.world.executions), set(bench.world.calls)) == (executed, calls)
    return result.error["message"]


def test_a_changed_field_is_named_with_old_and_new_value_and_both_lines() -> None:
    async def changed(self: Base, input: Order) -> Done:
        await self.fetch(Order(id=1))
        await self.store(Order(id=2, name="y"))
        return await self.store(Order(id=3))

    said = divergence(changed)
    assert (
        f"Ledger, entry 1: the completion of store(), called at {__file__}:{original.__code__.co_firstlineno + 2}"
        in said
    )
    assert f"Route, at that place: store(), called at {__file__}:{changed.__code__.co_firstlineno + 2}" in said
    assert 'input field name: "x" → "y"' in said
    assert "Nothing was run again" in said
    assert "Put back the code" in said


def test_a_dropped_call_is_named() -> None:
    async def changed(self: Base, input: Order) -> Done:
        await self.fetch(Order(id=1))
        return await self.fetch(Order(id=9))

    said = divergence(changed)
    assert "the completion of store()" in said
    assert "it doesn't make this call. It waits for fetch(), called at " in said


def test_a_call_that_moved_says_what_it_follows_now() -> None:
    async def changed(self: Base, input: Order) -> Done:
        await self.store(Order(id=2))
        return Done()

    said = divergence(changed, before=original)
    assert "the completion of fetch()" in said

    async def first(self: Base, input: Order) -> Done:
        await self.fetch(Order(id=1))
        return await self.store(Order(id=2))

    async def moved(self: Base, input: Order) -> Done:
        await asyncio.gather(self.fetch(Order(id=1)), self.store(Order(id=2)))
        return Done()

    said = divergence(moved, before=first)
    assert "made after fetch() (input " in said
    assert "→ made after the start of the route" in said


def test_a_route_that_ends_early_diverges() -> None:
    async def changed(self: Base, input: Order) -> Done:
        return await self.fetch(Order(id=1))

    assert "it has ended (succeeded) without making this call" in divergence(changed)


def test_a_route_that_fails_early_diverges_and_tells_of_the_failure() -> None:
    async def changed(self: Base, input: Order) -> Done:
        raise ValueError("new bug")

    assert "it has ended (failed, ValueError: new bug) without making this call" in divergence(changed)


def test_a_changed_timer_is_named() -> None:
    async def before(self: Base, input: Order) -> Done:
        await asyncio.sleep(5)
        return Done()

    async def changed(self: Base, input: Order) -> Done:
        await asyncio.sleep(6)
        return Done()

    said = divergence(changed, before)
    assert "the completion of a timer, called at " in said
    assert "input field seconds: 5 → 6" in said


def test_one_equal_call_fewer_is_named() -> None:
    async def before(self: Base, input: Order) -> Done:
        await asyncio.gather(self.fetch(Order(id=1)), self.fetch(Order(id=1)))
        return Done()

    async def changed(self: Base, input: Order) -> Done:
        return await self.fetch(Order(id=1))

    assert "the completion of fetch()" in divergence(changed, before)


def test_added_branches_and_reordered_ones_do_not_diverge() -> None:
    async def before(self: Base, input: Order) -> Done:
        await asyncio.gather(*(self.fetch(Order(id=n)) for n in range(3)))
        return await self.store(Order(id=7))

    async def changed(self: Base, input: Order) -> Done:
        await asyncio.gather(*(self.fetch(Order(id=n)) for n in (2, 5, 1, 0)))
        return await self.store(Order(id=7))

    bench = Bench(route(before), Order(), duration_of=lambda call, attempt: 1.0)
    with pytest.raises(SimulatedCrash):
        bench.run(lambda step: step.kind == "after commit" and step.committed == 2)
    assert bench.run(app=route(changed)).output == {"id": 7}
    assert sorted(execution.input["id"] for execution in bench.world.executions) == [0, 1, 2, 5, 7]  # type: ignore[type-var]


def interrupted(before: Body = original) -> Bench:
    """A run whose driver has died with one call completed and the next one under way."""
    bench = Bench(route(before), Order())
    with pytest.raises(SimulatedCrash):
        bench.run(lambda step: step.kind == "after schedule" and step.committed == 1)
    assert bench.executed() == ["fetch"]
    return bench


def test_a_call_under_way_that_is_dropped_is_noticed_before_anything_new_runs() -> None:
    async def changed(self: Base, input: Order) -> Done:
        await self.fetch(Order(id=1))
        return await self.store(Order(id=7))

    bench = interrupted()
    result = bench.run(app=route(changed))
    assert result.error is not None
    assert result.error.get("stall") == "NonDeterministicRun"
    said = result.error["message"]
    assert f"Under way: store(), called at {__file__}:{original.__code__.co_firstlineno + 2}\n" in said
    assert f"Route, at that place: store(), called at {__file__}:{changed.__code__.co_firstlineno + 2}" in said
    assert "input field id: 2 → 7" in said
    assert bench.executed() == ["fetch"]
    assert len(bench.world.calls) == 2
    assert bench.run().outcome == "Succeeded"


def test_a_route_that_ends_without_a_call_under_way_diverges() -> None:
    async def changed(self: Base, input: Order) -> Done:
        return await self.fetch(Order(id=1))

    bench = interrupted()
    result = bench.run(app=route(changed))
    assert result.error is not None
    assert "it has ended (succeeded) without making this call" in result.error["message"]
    assert bench.executed() == ["fetch"]


def test_a_branch_added_beside_a_call_under_way_does_not_diverge() -> None:
    async def changed(self: Base, input: Order) -> Done:
        await self.fetch(Order(id=1))
        await asyncio.gather(self.store(Order(id=8)), self.store(Order(id=2)))
        return await self.store(Order(id=3))

    assert interrupted().run(app=route(changed)).outcome == "Succeeded"


def test_a_call_under_way_that_nobody_awaits_any_more_is_not_missed() -> None:
    async def giving_up(self: Base, input: Order) -> Done:
        try:
            async with asyncio.timeout(5):
                await self.store(Order(id=1))
        except TimeoutError:
            await self.fetch(Order(id=2))
        return Done()

    def slow(call: ScheduledCall, attempt: int) -> float:
        return 60.0 if call.task == "store" else 0.0

    bench = Bench(route(giving_up), Order(), duration_of=slow)
    with pytest.raises(SimulatedCrash):
        bench.run(lambda step: step.kind == "after schedule" and step.committed == 2)
    assert bench.run().outcome == "Succeeded"
    assert bench.executed() == ["store", "fetch"]


def test_a_result_is_never_given_to_an_equal_call_at_another_place() -> None:
    async def branch(self: Base, first: int, *between: int) -> None:
        await self.fetch(Order(id=first))
        for number in between:
            await self.fetch(Order(id=number))
        await self.store(Order(id=9))

    async def before(self: Base, input: Order) -> Done:
        await asyncio.gather(branch(self, 1), branch(self, 2))
        return Done()

    async def changed(self: Base, input: Order) -> Done:
        await asyncio.gather(branch(self, 1, 5), branch(self, 2))
        return Done()

    bench = Bench(route(before), Order())
    with pytest.raises(SimulatedCrash):
        bench.run(lambda step: step.kind == "after commit" and step.committed == 3)
    assert [completion.task for completion in bench.world.ledger] == ["fetch", "fetch", "store"]
    result = bench.run(app=route(changed))
    assert result.error is not None
    assert "Ledger, entry 2: the completion of store()" in result.error["message"]
    assert bench.executed() == ["fetch", "fetch", "store"]


def test_input_changes_are_listed_by_path() -> None:
    assert input_changes({"a": {"b": [1, 2]}, "c": 1}, {"a": {"b": [1, 3]}, "d": 2}) == [
        "a.b[1]: 2 → 3",
        "c: 1 → absent",
        "d: absent → 2",
    ]
    assert input_changes({"a": 1}, {"a": 1}) == []
    assert input_changes({"a": 1}, {"a": True}) == ["a: 1 → true"]
    assert input_changes({"a": [1]}, {"a": [1, 2]}) == ["a: [1] → [1,2]"]
