"""The keyed queue."""

from __future__ import annotations

import asyncio

from tests.support import virtual_time

from apprun_operator.observe.records import Key
from apprun_operator.reconcile.workqueue import KeyQueue

A, B = Key("n", "a"), Key("n", "b")


def test_key_is_queued_once() -> None:
    async def scenario() -> None:
        queue = KeyQueue()
        queue.put(A)
        queue.put(B)
        queue.put(A)
        assert [await queue.get(), await queue.get()] == [A, B]
        assert not len(queue)

    virtual_time.run(scenario())


def test_key_in_work_is_not_handed_out_before_it_is_done() -> None:
    async def scenario() -> None:
        queue = KeyQueue()
        queue.put(A)
        await queue.get()
        queue.put(A)
        assert not len(queue)
        queue.done(A)
        assert await queue.get() == A

    virtual_time.run(scenario())


def test_key_that_nobody_put_meanwhile_does_not_come_back() -> None:
    async def scenario() -> None:
        queue = KeyQueue()
        queue.put(A)
        queue.done(await queue.get())
        assert not len(queue)

    virtual_time.run(scenario())


def test_only_the_earliest_later_wish_counts() -> None:
    async def scenario() -> list[float]:
        queue, loop = KeyQueue(), asyncio.get_running_loop()
        for seconds in (5.0, 2.0, 9.0):
            queue.put_after(A, seconds)
        await queue.get()
        came = loop.time()
        queue.done(A)
        await asyncio.sleep(20)
        return [came, float(len(queue))]

    assert virtual_time.run(scenario()) == [2.0, 0.0]


def test_moment_that_has_passed_does_not_make_a_worker_spin() -> None:
    async def scenario() -> float:
        queue, loop = KeyQueue(), asyncio.get_running_loop()
        for _ in range(1000):
            queue.put_after(A, -1)
            queue.done(await queue.get())
        return loop.time()

    assert virtual_time.run(scenario()) >= 0.9
