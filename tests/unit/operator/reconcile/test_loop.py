"""Working off a queue: one key's trouble is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support import virtual_time

from apprun_operator.act.executor import ReplanError
from apprun_operator.kube.errors import ThrottledError
from apprun_operator.observe.records import Key
from apprun_operator.reconcile.loop import Backoff, run_loop
from apprun_operator.reconcile.workqueue import KeyQueue

BAD, GOOD = Key("shop", "bad"), Key("shop", "good")


def passes(reconcile: Callable[[Key], Awaitable[None]], seconds: float, replan_after: float = 0.0) -> list[str]:
    """The errors that a loop over BAD and GOOD reports in that time."""
    errors: list[str] = []

    async def scenario() -> None:
        queue = KeyQueue()
        queue.put(BAD)
        queue.put(GOOD)
        on_error = lambda key, name, error, delay: errors.append(f"{key.name}{name} {error!r} {delay:.2f}")  # noqa: E731
        backoff = Backoff(1.0, 8.0, lambda: 1.0)
        work = asyncio.create_task(run_loop(queue, reconcile, backoff, on_error, replan_after))
        await asyncio.sleep(seconds)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        queue.close()

    virtual_time.run(scenario())
    return errors


def test_failing_key_backs_off_and_holds_up_no_other() -> None:
    good: list[Key] = []

    async def reconcile(key: Key) -> None:
        if key == BAD:
            raise ZeroDivisionError
        good.append(key)

    errors = passes(reconcile, seconds=30)
    assert [line.split()[-1] for line in errors] == ["1.00", "2.00", "4.00", "8.00", "8.00", "8.00"]
    assert good == [GOOD]


def test_pause_begins_anew_once_a_pass_went_well() -> None:
    outcomes = iter([False, False, True, False])

    async def reconcile(key: Key) -> None:
        if key == BAD and not next(outcomes, True):
            raise ZeroDivisionError

    backoff = Backoff(1.0, 8.0, lambda: 1.0)
    assert [backoff.next_delay((BAD, ""), ValueError()) for _ in range(2)] == [1.0, 2.0]
    backoff.reset((BAD, ""))
    assert backoff.next_delay((BAD, ""), ValueError()) == 1.0
    assert [line.split()[-1] for line in passes(reconcile, seconds=30)] == ["1.00", "2.00"]


def test_what_the_api_server_asks_for_is_waited_in_full() -> None:
    backoff = Backoff(1.0, 8.0, lambda: 0.0)
    assert backoff.next_delay((BAD, ""), ThrottledError("slow down", retry_after=7.0)) == 7.5


@pytest.mark.parametrize(("pause", "most"), [(2.0, 6), (10.0, 2)])
def test_stale_plan_is_repeated_after_its_delay_without_an_error(pause: float, most: int) -> None:
    times: list[Key] = []

    async def reconcile(key: Key) -> None:
        if key == BAD:
            times.append(key)
            raise ReplanError("old news")

    assert passes(reconcile, seconds=11, replan_after=pause) == []
    assert len(times) == most
