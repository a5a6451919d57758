"""What a strict type checker says of users' code: nothing of good code, and a misuse is found before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

PRELUDE = """
import asyncio
from typing import assert_type

from application_sdk.app import App, RetryPolicy, TaskFailedError, entrypoint, task
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.replay.result import RouteOutcome
from application_sdk.testing import FinishedRun, check_durability, run_app


class Order(Input):
    id: int = 0


class Letter(Input):
    id: int = 0


class Receipt(Output):
    text: str = ""


class Place(HeartbeatDetails):
    row: int = 0


class Base(App, abstract=True):
    @task
    async def charge(self, order: Order) -> Receipt:
        return Receipt()

    @task(timeout_seconds=3, retry_policy=RetryPolicy(max_attempts=2), cpu="1")
    def ship(self, order: Order) -> Receipt:
        return Receipt()

"""

GOOD = """
class Shop(Base):
    @task(progress_watchdog="enforce", heartbeat_timeout_seconds=None)
    async def load(self, order: Order) -> Receipt:
        assert_type(self.task_context.get_heartbeat_details(Place), Place | None)
        self.task_context.heartbeat(Place(row=1))
        assert_type(await self.run_in_thread(len, "abc"), int)
        return Receipt()

    @entrypoint(name="again", default=False)
    async def retry(self, order: Order) -> Receipt:
        self.continue_with(order)

    async def run(self, order: Order) -> Receipt:
        assert_type(await self.charge(order), Receipt)
        assert_type(await self.ship(order), Receipt)
        assert_type(await self.ship.options(timeout_seconds=None, memory="1Gi").keyed("x")(order), Receipt)
        assert_type(await asyncio.gather(self.charge(order), self.ship(order)), tuple[Receipt, Receipt])
        async with asyncio.TaskGroup() as group:
            assert_type(group.create_task(self.load(order)), asyncio.Task[Receipt])
        assert_type(await self.map(self.charge, [order], limit=3), list[Receipt])
        assert_type(await self.map(self.ship, [order], on_error="collect"), list[Receipt | TaskFailedError])
        return Receipt()

    @task(limit=3, rate="10/s", retry_initial_interval_seconds=2)
    async def limited(self, order: Order) -> Receipt:
        return Receipt()


async def test_a_bare_instance() -> None:
    assert_type(await Shop().charge(Order(id=3)), Receipt)


def test_a_whole_run() -> None:
    finished = run_app(Shop, Order(id=3), durations={"load": 3.0})
    assert_type(finished, FinishedRun[Receipt])
    assert_type(finished.output, Receipt)
    assert_type(run_app(Shop, Letter(), entrypoint="again").outcome, RouteOutcome)
    check_durability(Shop, Order())
"""

MISUSE = """
class Shop(Base):
    @task  # error: type-var
    async def no_input(self, order: int) -> Receipt:
        return Receipt()

    @task  # error: type-var
    async def no_output(self, order: Order) -> int:
        return 1

    @task  # error: arg-type
    async def two_parameters(self, order: Order, more: int) -> Receipt:
        return Receipt()

    @task(timeout=3)  # error: call-overload
    async def unknown_keyword(self, order: Order) -> Receipt:
        return Receipt()

    @task(timeout_seconds="3")  # error: call-overload
    async def wrong_value(self, order: Order) -> Receipt:
        return Receipt()

    @task(progress_watchdog="loud")  # error: call-overload
    async def wrong_word(self, order: Order) -> Receipt:
        return Receipt()

    @task
    async def wrong_details(self, order: Order) -> Receipt:
        self.task_context.heartbeat(Order())  # error: arg-type
        self.task_context.get_heartbeat_details(Order)  # error: type-var
        return Receipt()

    @entrypoint  # error: type-var
    def not_async(self, order: Order) -> Receipt:
        return Receipt()

    async def run(self, order: Order) -> Receipt:
        await self.charge(Letter())  # error: arg-type
        await self.charge(order, 3)  # error: call-arg
        await self.charge()  # error: call-arg
        taken: Order = await self.charge(order)  # error: assignment
        self.charge(order)  # error: unused-coroutine
        print(self.charge(order).text)  # error: attr-defined
        self.charge.options(timeout=3)  # error: call-arg
        self.charge.keyed(3)  # error: arg-type
        await self.map(self.charge, [Letter()])  # error: misc
        self.charge.options(limit=3)  # error: call-arg
        self.missing(order)  # error: attr-defined
        if taken:
            self.continue_with(3)  # error: arg-type
        return Receipt(text=3)  # error: arg-type


def test_a_whole_run() -> None:
    run_app(Shop, Letter())  # error: arg-type
    output: Order = run_app(Shop, Order()).output  # error: assignment
    print(run_app(Shop, Order()).output.missing)  # error: attr-defined
"""


def said(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, str]]:
    """Lines and codes of mypy's errors. Those that only follow from another one are left out."""
    module = folder / "app.py"
    module.write_text(text)
    monkeypatch.setenv("MYPYPATH", str(Path(__file__).parents[3] / "sdk"))
    report, complaints, _ = api.run(
        ["--strict", "--config-file=", f"--cache-dir={folder}", "--no-error-summary", str(module)]
    )
    assert not complaints
    found = re.findall(r"app\.py:(\d+): error: .*\[([a-z-]+)\]$", report, re.MULTILINE)
    return {(int(line), code) for line, code in found if code != "untyped-decorator"}


@pytest.mark.slow
def test_good_code_is_accepted_with_its_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, PRELUDE + GOOD, monkeypatch) == set()


@pytest.mark.slow
def test_misuse_is_refused_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PRELUDE + MISUSE
    expected = {
        (number, line.partition("# error: ")[2])
        for number, line in enumerate(text.splitlines(), start=1)
        if "# error: " in line
    }
    assert said(tmp_path, text, monkeypatch) == expected
