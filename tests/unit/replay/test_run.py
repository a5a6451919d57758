"""How a route runs and ends: failures, catching, cancellation, clean-up, timers, and what no code can swallow."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.support.routes import INFO, Bench, run

from application_sdk import app as public
from application_sdk.app import App, NonRetryableError, TaskFailedError, entrypoint, task
from application_sdk.contracts import Input, Output
from application_sdk.engines.memory import SimulatedCrash
from application_sdk.engines.memory.engine import MemoryEngine
from application_sdk.replay.result import RouteResult
from application_sdk.replay.run import run_route
from application_sdk.wire.digest import JSONObject, canonical_json


class N(Input):
    n: int = 0


class Text(Output):
    text: str = ""


class Base(App, abstract=True):
    @task(retry_max_attempts=3)
    async def work(self, input: N) -> Text:
        if input.n < 0:
            raise ValueError(f"negative: {input.n}")
        return Text(text=str(input.n))

    @task
    async def refuse(self, input: N) -> Text:
        raise NonRetryableError("never")

    @task
    def in_thread(self, input: N) -> Text:
        return Text(text=f"thread {input.n}")


def route(body: Callable[..., Awaitable[Text]]) -> type[App]:
    """An app whose route is this function."""

    class Routed(Base):
        async def run(self, input: N) -> Text:
            return await body(self, input)

    return Routed


def text(result: RouteResult) -> str:
    assert result.output is not None, result
    return str(result.output["text"])


def message(result: RouteResult) -> str:
    assert result.error is not None, result
    return result.error["message"]


def test_a_task_is_executed_and_its_output_comes_back() -> None:
    async def body(self: Base, input: N) -> Text:
        return await self.work(input)

    assert text(run(route(body), N(n=4))) == "4"


def test_a_sync_task_is_executed() -> None:
    async def body(self: Base, input: N) -> Text:
        return await self.in_thread(input)

    assert text(run(route(body), N(n=4))) == "thread 4"


def test_a_failed_task_raises_what_is_known_of_its_failure() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            await self.work(N(n=-1))
        except TaskFailedError as error:
            shown = "negative: -1" in error.traceback and "test_run.py" in error.traceback
            return Text(text=f"{shown}|{error.type}|{error.message}|{error.attempts}|{error.retryable}|{error}")
        return Text()

    assert text(run(route(body), N())) == (
        "True|ValueError|negative: -1|3|True|task 'work' failed after 3 attempts: ValueError: negative: -1"
    )


def test_a_permanent_failure_takes_one_attempt() -> None:
    async def body(self: Base, input: N) -> Text:
        return await self.refuse(N())

    bench = Bench(route(body), N())
    result = bench.run()
    assert result.outcome == "Failed"
    assert message(result) == "task 'refuse' failed after 1 attempt: NonRetryableError: never"
    assert bench.executed() == ["refuse"]


def test_a_failure_that_was_caught_is_caught_again_in_a_replay() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            await self.work(N(n=-1))
        except TaskFailedError:
            return await self.work(N(n=7))
        return Text()

    bench = Bench(route(body), N())
    assert text(bench.run()) == "7"
    assert text(bench.run()) == "7"
    assert bench.executed() == ["work"] * 4


def test_an_error_of_the_route_fails_the_run_with_the_users_frames_only() -> None:
    async def body(self: Base, input: N) -> Text:
        await self.work(input)
        raise KeyError("mistake")

    result = run(route(body), N())
    assert result.outcome == "Failed"
    assert result.error is not None
    assert result.error["type"] == "KeyError"
    traceback = result.error.get("traceback", "")
    assert "test_run.py" in traceback
    assert "application_sdk" not in traceback
    assert "asyncio" not in traceback


def test_a_single_failure_in_a_task_group_is_told_by_its_own_name() -> None:
    async def body(self: Base, input: N) -> Text:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.refuse(N()))
            group.create_task(self.work(N()))
        return Text()

    result = run(route(body), N())
    assert result.error is not None
    assert result.error["type"] == "TaskFailedError"
    assert "NonRetryableError: never" in result.error["message"]


def test_sys_exit_in_the_route_is_a_failure() -> None:
    async def body(self: Base, input: N) -> Text:
        sys.exit(3)

    result = run(route(body), N())
    assert result.outcome == "Failed"
    assert result.error is not None
    assert result.error["type"] == "SystemExit"


def test_an_output_of_the_wrong_type_fails_the_run() -> None:
    async def body(self: Base, input: N) -> Text:
        return None  # type: ignore[return-value]

    assert "Text is declared, None was given" in message(run(route(body), N()))


class Page(Input):
    text: str = ""
    size: int = 0


class Small(App):
    """A limit of 1 KiB. The input says how large what it reads, passes on and returns is."""

    max_payload_bytes = 1024

    @task
    async def work(self, input: Page) -> Text:
        return Text(text="x" * input.size)

    async def run(self, input: Page) -> Text:
        passed, read, returned = map(int, input.text.split())
        await self.work(Page(text="x" * passed, size=read))
        return Text(text="x" * returned)


@pytest.mark.parametrize(
    ("sizes", "executed", "said"),
    [
        ("2000 0 0", [], "This Page is 2.0 KiB of JSON, the limit is 1.0 KiB.\n  Page.text weighs most: 2.0 KiB"),
        (
            "0 2000 0",
            ["work"],
            "task 'work' failed after 1 attempt: PayloadTooLargeError: This Text is 2.0 KiB of JSON",
        ),
        ("0 0 2000", ["work"], "This Text is 2.0 KiB of JSON, the limit is 1.0 KiB"),
    ],
)
def test_a_payload_over_the_limit_fails_once_and_names_the_field(sizes: str, executed: list[str], said: str) -> None:
    bench = Bench(Small, Page(text=sizes))
    result = bench.run()
    assert result.outcome == "Failed"
    assert said in message(result)
    assert "Put the data in a file and pass a FileReference in its place" in message(result)
    assert bench.executed() == executed


def test_payloads_up_to_the_limit_pass() -> None:
    assert len(text(run(Small, Page(text="900 900 900")))) == 900


def test_a_wrong_input_stalls_before_anything_runs() -> None:
    class Other(Input):
        m: int

    async def body(self: Base, input: N) -> Text:
        return await self.work(input)

    result = Bench(route(body), Other(m=1)).run()
    assert result.outcome == "Stalled"
    assert result.error is not None
    assert result.error.get("stall") == "InvalidInput"
    assert "m" in result.error["message"]


def test_an_unknown_entry_point_stalls_with_the_names_there_are() -> None:
    async def body(self: Base, input: N) -> Text:
        return Text()

    result = Bench(route(body), N(), entrypoint="extract").run()
    assert result.error is not None
    assert result.error.get("stall") == "EntrypointNotFound"
    assert "has no entry point 'extract'; it has run" in result.error["message"]


def test_a_ledger_of_other_replay_rules_stalls() -> None:
    async def body(self: Base, input: N) -> Text:
        return Text()

    result = Bench(route(body), N(), info=replace(INFO, replay_rules=99)).run()
    assert result.error is not None
    assert result.error.get("stall") == "LedgerUnreadable"


def test_a_wrong_input_type_is_named_with_its_line() -> None:
    class Other(Input):
        m: int = 0

    async def body(self: Base, input: N) -> Text:
        return await self.work(Other())  # type: ignore[arg-type]

    assert "test_run.py" in message(run(route(body), N()))


def test_a_call_that_is_not_awaited_stalls_with_its_line() -> None:
    async def body(self: Base, input: N) -> Text:
        self.work(input)  # type: ignore[unused-coroutine]
        return Text()

    result = run(route(body), N())
    assert result.outcome == "Stalled"
    assert "Called but never awaited, so never run: work() at " in message(result)
    assert "test_run.py:" in message(result)


def test_a_key_names_one_call_only() -> None:
    async def body(self: Base, input: N) -> Text:
        await self.work.keyed("orders")(N(n=1))
        return await self.work.keyed("orders")(N(n=2))

    assert "work.keyed('orders') is used twice in this run; the first call is at " in message(run(route(body), N()))


def test_a_keyed_call_keeps_its_result_when_its_input_changes() -> None:
    async def body(self: Base, input: N) -> Text:
        return await self.work.keyed("it")(N(n=5))

    async def changed(self: Base, input: N) -> Text:
        return await self.work.keyed("it")(N(n=6))

    bench = Bench(route(body), N())
    assert text(bench.run()) == "5"
    assert text(bench.run(app=route(changed))) == "5"


def test_options_change_the_policy_of_one_call() -> None:
    async def body(self: Base, input: N) -> Text:
        await self.work.options(timeout_seconds=1.5, retry_max_attempts=7, cpu="2")(N(n=1))
        return await self.work(N(n=2))

    bench = Bench(route(body), N())
    bench.run()
    first, second = bench.world.calls.values()
    assert first.policy.get("timeoutSeconds") == 1.5
    assert first.policy["retry"]["maxAttempts"] == 7
    assert first.pod == {"cpu": "2"}
    assert second.policy["retry"]["maxAttempts"] == 3
    assert second.pod == {}


def test_a_call_carries_its_line() -> None:
    async def body(self: Base, input: N) -> Text:
        return await self.work(input)

    bench = Bench(route(body), N())
    bench.run()
    (call,) = bench.world.calls.values()
    assert call.line == f"{__file__}:{body.__code__.co_firstlineno + 1}"


def test_a_week_of_sleep_is_a_timer_of_a_week() -> None:
    async def body(self: Base, input: N) -> Text:
        before = self.now()
        await asyncio.sleep(7 * 24 * 3600)
        await self.sleep(1)
        await public.sleep(0.5)
        return Text(text=str((self.now() - before).total_seconds()))

    bench = Bench(route(body), N())
    assert text(bench.run()) == "604801.5"
    assert [call.seconds for call in bench.world.calls.values()] == [604800, 1, 0.5]
    assert {call.role for call in bench.world.calls.values()} == {"timer"}


def test_a_timer_that_was_cancelled_is_not_missed() -> None:
    async def body(self: Base, input: N) -> Text:
        async with asyncio.timeout(100):
            await self.work(N(n=1))
        await asyncio.sleep(200)
        return Text(text=str(asyncio.get_running_loop().time()))

    bench = Bench(route(body), N(), duration_of=lambda call, attempt: 3.0)
    assert text(bench.run()) == "203.0"
    assert len(bench.world.ledger) == 3
    assert text(bench.run()) == "203.0"


def test_a_timeout_gives_up_on_a_task_whose_late_result_changes_nothing() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            async with asyncio.timeout(2):
                await self.work(N(n=1))
        except TimeoutError:
            await asyncio.sleep(60)
            return await self.work(N(n=2))
        return Text(text="in time")

    bench = Bench(route(body), N(), duration_of=lambda call, attempt: 30.0)
    assert text(bench.run()) == "2"
    assert [completion.task for completion in bench.world.ledger] == ["sleep", "work", "sleep", "work"]
    assert text(bench.run()) == "2"


def test_waiting_for_what_never_comes_fails_with_the_line() -> None:
    async def body(self: Base, input: N) -> Text:
        await self.work(input)
        await asyncio.Event().wait()
        return Text()

    result = run(route(body), N())
    assert result.outcome == "Failed"
    assert result.error is not None
    assert result.error["type"] == "RouteDeadlockError"
    assert f"test_run.py:{body.__code__.co_firstlineno + 2}" in result.error["message"]


def test_a_route_that_never_gets_on_cleans_up_and_replays() -> None:
    class Stuck(Finishing):
        async def run(self, input: N) -> Text:
            await self.work(N(n=1))
            try:
                await asyncio.Event().wait()
            finally:
                await self.work(N(n=50))
            return Text()

    bench = Bench(Stuck, N())
    for committed in (1, 2):
        with pytest.raises(SimulatedCrash):
            bench.run(lambda step, wanted=committed: step.kind == "after schedule" and step.committed == wanted)
    first = bench.run()
    assert first.error is not None
    assert first.error["type"] == "RouteDeadlockError"
    assert bench.run() == first
    assert inputs(bench) == [1, 50, 99]


def test_a_route_that_never_waits_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(self: Base, input: N) -> Text:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    monkeypatch.setattr("application_sdk.replay.loop.BUSY_LIMIT", 1000)
    result = run(route(body), N())
    assert result.outcome == "Stalled"
    assert "without waiting for a task or a timer" in message(result)


def test_wait_condition_waits_for_another_branch() -> None:
    async def body(self: Base, input: N) -> Text:
        seen: list[str] = []

        async def branch() -> None:
            seen.append((await self.work(N(n=1))).text)

        aside = asyncio.create_task(branch())
        await public.wait_condition(lambda: bool(seen))
        await aside
        return Text(text=seen[0])

    assert text(run(route(body), N())) == "1"


def test_wait_condition_times_out_on_the_routes_clock() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            await public.wait_condition(lambda: False, timeout=3600)
        except TimeoutError:
            return Text(text=str(asyncio.get_running_loop().time()))
        return Text()

    assert text(run(route(body), N())) == "3600.0"


class Finishing(Base, abstract=True):
    async def on_complete(self) -> None:
        await self.work(N(n=99))
        await super().on_complete()


def finishing(body: Callable[..., Awaitable[Text]]) -> type[App]:
    class Routed(Finishing):
        async def run(self, input: N) -> Text:
            return await body(self, input)

    return Routed


def inputs(bench: Bench) -> list[object]:
    return [execution.input["n"] for execution in bench.world.executions]


def test_on_complete_runs_once_after_success_and_failure_alike() -> None:
    async def good(self: Base, input: N) -> Text:
        return await self.work(N(n=1))

    async def bad(self: Base, input: N) -> Text:
        await self.work(N(n=1))
        raise ValueError("no")

    for body, outcome in ((good, "Succeeded"), (bad, "Failed")):
        bench = Bench(finishing(body), N())
        with pytest.raises(SimulatedCrash):
            bench.run(lambda step: step.kind == "after commit" and step.committed == 2)
        assert bench.run().outcome == outcome
        assert inputs(bench) == [1, 99]


def test_a_failing_on_complete_fails_a_run_that_had_succeeded() -> None:
    class Failing(Base):
        async def run(self, input: N) -> Text:
            return Text()

        async def on_complete(self) -> None:
            raise ValueError("clean-up")

    result = run(Failing, N())
    assert result.outcome == "Failed"
    assert message(result) == "clean-up"


def cancelled_after(seconds: float, app: type[App]) -> Bench:
    bench = Bench(app, N(), duration_of=lambda call, attempt: 10.0)
    bench.world.cancel_run(INFO.started_at + seconds)
    return bench


def test_a_cancelled_run_cleans_up_and_ends_as_cancelled() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            await self.work(N(n=1))
        except asyncio.CancelledError:
            await self.work(N(n=50))
            raise
        return Text()

    bench = cancelled_after(4, finishing(body))
    assert bench.run().outcome == "Cancelled"
    assert sorted(map(str, inputs(bench))) == ["1", "50", "99"]
    assert bench.run().outcome == "Cancelled"


def test_only_what_is_called_after_the_cancellation_is_clean_up_in_every_life() -> None:
    async def body(self: Base, input: N) -> Text:
        await self.work(N(n=1))
        try:
            await self.work(N(n=2))
        except asyncio.CancelledError:
            await self.work(N(n=50))
            raise
        return Text()

    for committed in (0, 1, 3):  # Nothing is scheduled between the cancellation and the end of the call it gives up.
        bench = cancelled_after(14, finishing(body))
        with pytest.raises(SimulatedCrash):
            bench.run(lambda step, at=committed: step.kind == "before schedule" and step.committed == at)  # type: ignore[misc]
        assert bench.run().outcome == "Cancelled"
        marks = {call.input["n"]: call.cleanup for call in bench.world.calls.values()}
        assert marks == {1: False, 2: False, 50: True, 99: True}


def test_a_route_may_decline_a_cancellation() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            await self.work(N(n=1))
        except asyncio.CancelledError:
            pass
        return Text(text="finished anyway")

    assert text(cancelled_after(4, route(body)).run()) == "finished anyway"


def test_cancellation_in_on_complete_comes_too_late() -> None:
    async def body(self: Base, input: N) -> Text:
        return Text(text="done")

    assert text(cancelled_after(4, finishing(body)).run()) == "done"


def test_continue_with_ends_the_run_with_the_next_input() -> None:
    async def body(self: Base, input: N) -> Text:
        try:
            await self.work(input)
            self.continue_with(N(n=input.n + 1))
        except Exception:
            return Text(text="swallowed")

    bench = Bench(finishing(body), N(n=3))
    result = bench.run()
    assert result.outcome == "Continued"
    assert result.input == {"n": 4}
    assert result.entrypoint == "run"
    assert inputs(bench) == [3], "on_complete is the last run's"


def test_continue_with_from_a_branch_ends_the_run() -> None:
    async def body(self: Base, input: N) -> Text:
        async def branch() -> None:
            self.continue_with(N(n=9))

        async with asyncio.TaskGroup() as group:
            group.create_task(branch())
        return Text()

    assert run(route(body), N()).input == {"n": 9}


def test_a_crash_between_any_two_steps_lets_nothing_run_after_it(caplog: pytest.LogCaptureFixture) -> None:
    leftovers: list[str] = []

    async def body(self: Base, input: N) -> Text:
        try:
            await asyncio.gather(self.work(N(n=1)), self.work(N(n=2)))
            return Text(text="done")
        finally:
            try:
                await self.work(N(n=3))
                leftovers.append("ran")
            except asyncio.CancelledError:
                leftovers.append("cancelled")
                raise

    bench = Bench(route(body), N())
    with pytest.raises(SimulatedCrash):
        bench.run(lambda step: step.committed == 1)
    assert leftovers == ["cancelled"]
    assert inputs(bench) == [1]
    assert text(bench.run()) == "done"
    assert not [record for record in caplog.records if record.name in ("asyncio", "apprun.route")]


def test_a_lost_exception_of_a_branch_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body(self: Base, input: N) -> Text:
        async def branch() -> None:
            raise ValueError("lost")

        task = asyncio.create_task(branch())
        await asyncio.sleep(1)
        del task
        gc.collect()  # From Python 3.13 on it is in a reference cycle.
        return await self.work(input)

    bench = Bench(route(body), N())
    bench.run()
    bench.run()
    assert sum("never retrieved" in record.getMessage() for record in caplog.records) == 1


def test_the_routes_log_is_silent_in_replay(caplog: pytest.LogCaptureFixture) -> None:
    async def body(self: Base, input: N) -> Text:
        self.logger.warning("first")
        await self.work(N(n=1))
        self.logger.warning("second")
        await self.work(N(n=2))
        self.logger.warning("third")
        return Text()

    bench = Bench(route(body), N())
    with caplog.at_level(logging.INFO), pytest.raises(SimulatedCrash):
        bench.run(lambda step: step.kind == "before schedule" and step.committed == 1)
    bench.run()
    assert [record.getMessage() for record in caplog.records] == ["first", "second", "second", "third"]
    assert {record.run_id for record in caplog.records} == {"run-1"}  # type: ignore[attr-defined]


def test_context_knows_the_run_and_no_store_in_the_route() -> None:
    async def body(self: Base, input: N) -> Text:
        assert self.context.correlation_id == "run-1"
        try:
            await self.context.get_secret("password")
        except public.AppError as error:
            return Text(text=f"{self.context.run_id}: {error}")
        return Text()

    said = text(run(route(body), N()))
    assert said.startswith("run-1: ")
    assert "context.get_secret() in the route. A replay may get another answer: move it into a @task" in said


@pytest.mark.parametrize("action", ["heartbeat", "run_in_thread", "holding_progress"])
def test_what_belongs_to_tasks_is_refused_in_the_route(action: str) -> None:
    async def body(self: Base, input: N) -> Text:
        if action == "heartbeat":
            self.heartbeat()
        elif action == "run_in_thread":
            await self.run_in_thread(print)
        else:
            async with self.holding_progress("scan"):
                pass
        return Text()

    said = message(run(route(body), N()))
    assert f"self.{action}() in the route, which only plans: use it in a @task" in said
    assert said.startswith(f"{__file__}:")


def test_task_context_in_the_route_is_refused() -> None:
    async def body(self: Base, input: N) -> Text:
        self.task_context.heartbeat()
        return Text()

    assert "use it in a @task" in message(run(route(body), N()))


def test_a_task_that_calls_a_task_is_refused() -> None:
    class Nested(Base):
        @task
        async def outer(self, input: N) -> Text:
            return await self.work(input)

        async def run(self, input: N) -> Text:
            return await self.outer(input)

    bench = Bench(Nested, N())
    said = message(bench.run())
    line = f"{__file__}:{Nested.definition.task('outer').function.__code__.co_firstlineno + 2}"
    assert f"task 'outer' calls task 'work' at {line}: a task can't call a task. Call both from the route" in said
    assert bench.executed() == ["outer"]


def test_state_on_self_reaches_no_task() -> None:
    class Stateful(App):
        def __init__(self) -> None:
            self.seen = 0

        @task
        async def look(self, input: N) -> Text:
            return Text(text=str(self.seen))

        async def run(self, input: N) -> Text:
            self.seen = 5
            return await self.look(input)

    assert text(run(Stateful, N())) == "0"


def test_a_failing_constructor_fails_the_run() -> None:
    class Broken(App):
        def __init__(self) -> None:
            raise ValueError("no app today")

        async def run(self, input: N) -> Text:
            return Text()

    assert message(run(Broken, N())) == "no app today"


def test_each_entry_point_has_calls_of_its_own() -> None:
    class Two(Base):
        @entrypoint
        async def one(self, input: N) -> Text:
            return await self.work(input)

        @entrypoint
        async def two(self, input: N) -> Text:
            return await self.work(input)

    benches = [Bench(Two, N(n=1), entrypoint=name) for name in ("one", "two")]
    assert [text(bench.run()) for bench in benches] == ["1", "1"]
    assert benches[0].world.calls.keys().isdisjoint(benches[1].world.calls.keys())


async def test_a_route_runs_inside_a_test_that_has_an_event_loop() -> None:
    async def body(self: Base, input: N) -> Text:
        await asyncio.sleep(1000)
        return await self.work(input)

    assert text(run(route(body), N(n=4))) == "4"
    await asyncio.sleep(0)


def test_wait_on_gathered_futures_keeps_their_order() -> None:
    async def body(self: Base, input: N) -> Text:
        groups = [asyncio.gather(asyncio.sleep(1, n)) for n in range(20)]
        done, _ = await asyncio.wait(groups)
        return Text(text=str([future.result()[0] for future in done]))

    assert text(run(route(body), N())) == str(list(range(20)))


def test_defaults_do_not_make_an_input_too_large_that_fits() -> None:
    class Wide(Input, allow_unbounded_fields=True):
        text: str = ""
        note: str = "filled in"

    class Reading(App):
        async def run(self, input: Wide) -> Text:
            return Text(text=input.note)

    rest = len(canonical_json({"text": ""}))
    given: JSONObject = {"text": "x" * (INFO.max_payload_bytes - rest)}
    result = run_route(Reading, None, given, MemoryEngine(Bench(Reading, Wide()).world), INFO)
    assert result.output == {"text": "filled in"}
