"""The gate: a run whose handler says that it isn't ready never begins, and a replay passes the gate as the run did."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import ClassVar

import pytest
from typing_extensions import override

from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, Output
from application_sdk.credentials import CredentialRef, basic_ref
from application_sdk.engines.memory.engine import SimulatedCrash
from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import RunInfo
from application_sdk.handler import (
    DefaultHandler,
    HandlerError,
    PreflightCheck,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
)
from application_sdk.infrastructure import InfrastructureContext, using_infrastructure
from application_sdk.replay.result import RouteResult
from application_sdk.testing import MockSecretStore, check_durability, run_app
from application_sdk.testing.runs import FinishedRun, TestBench
from application_sdk.wire.digest import JSONObject

PREFLIGHT = "apprun.preflight"


class Order(Input):
    status: str = "ready"
    n: int = 0
    login: CredentialRef = CredentialRef()
    text: str = ""


class Done(Output):
    n: int = 0


class Base(App, abstract=True):
    ended: ClassVar[list[str]] = []

    @task
    async def work(self, input: Order) -> Done:
        return Done(n=input.n + 1)

    @task
    async def tell(self, input: Order) -> Done:
        return Done()

    @override
    async def run(self, input: Order) -> Done:
        first = await asyncio.gather(*(self.work(Order(n=n)) for n in range(3)))
        await self.sleep(60)
        return await self.work(Order(n=sum(one.n for one in first), text=str(self.uuid())))


class Open(Base):
    pass


class Hard(Base):
    preflight_gate_mode = "hard"


class Soft(Base):
    preflight_gate_mode = "soft"


ASKED: list[PreflightInput] = []


class GateHandler(DefaultHandler):
    """The only handler of this module, hence that of all its apps."""

    @override
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        ASKED.append(input)
        status = input.connection_config.get("status")
        if status == "broken":
            raise ConnectionError("no answer")
        if status == "refused":
            raise HandlerError("give a host", http_status=400)
        if status == "leak":
            return PreflightOutput(status=PreflightStatus.READY, message=str(self.context.get_credential("password")))
        checks = [
            PreflightCheck(name="host", passed=False, message="db.example isn't known"),
            PreflightCheck(name="disk", passed=True, message="is large"),
            PreflightCheck(name="login", passed=False),
        ]
        return PreflightOutput(status=PreflightStatus(str(status)), checks=checks if status != "ready" else [])


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    ASKED.clear()


def keys(finished: FinishedRun, *, without: str = "") -> list[str]:
    return sorted(entry.key for entry in finished.ledger if entry.task != without)


def test_run_that_is_not_ready_fails_for_good_before_its_route_with_what_the_checks_say() -> None:
    run = run_app(Hard, Order(status="not_ready"))
    assert run.executed == [PREFLIGHT], "once, and nothing else"
    assert run.error is not None
    assert (run.outcome, run.error["type"], run.error["retryable"]) == ("Failed", "PreflightFailedError", False)
    assert run.message == "not ready to run: host: db.example isn't known; login: failed"


@pytest.mark.parametrize("status", ["ready", "partial"])
def test_run_that_is_ready_goes_on_with_the_calls_that_it_would_have_made_anyway(status: str) -> None:
    gated, free = run_app(Hard, Order(status=status)), run_app(Open, Order(status=status))
    assert gated.output == free.output
    assert gated.executed[0] == PREFLIGHT
    assert keys(gated, without=PREFLIGHT) == keys(free)


def test_soft_gate_tells_and_lets_pass(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run = run_app(Soft, Order(status="not_ready"))
    assert run.outcome == "Succeeded"
    assert "not ready to run: host: db.example isn't known" in caplog.text
    assert run_app(Soft, Order(status="broken")).outcome == "Succeeded"


def test_check_that_fails_is_retried_as_a_task_is_and_then_the_run_fails() -> None:
    run = run_app(Hard, Order(status="broken"))
    assert run.executed == [PREFLIGHT, PREFLIGHT]
    assert run.message == "task 'apprun.preflight' failed after 2 attempts: ConnectionError: no answer"
    mended = run_app(Hard, Order(), failures={PREFLIGHT: [ConnectionError()]})
    assert (mended.outcome, mended.executed[:2]) == ("Succeeded", [PREFLIGHT, PREFLIGHT])


def test_check_that_the_handler_refuses_to_make_is_not_retried() -> None:
    run = run_app(Hard, Order(status="refused"))
    assert run.executed == [PREFLIGHT]
    assert "give a host" in run.message


def test_handler_is_asked_with_the_input_and_the_credentials_that_it_refers_to() -> None:
    store = MockSecretStore({"warehouse": '{"username": "etl", "password": "s3cr3t-0815"}'})
    with using_infrastructure(InfrastructureContext(secret_store=store)):
        run_app(Hard, Order(n=7, login=basic_ref("warehouse")))
    (asked,) = ASKED
    assert {part.key: part.value for part in asked.credentials} == {"username": "etl", "password": "s3cr3t-0815"}
    assert asked.credentials_by_name == {"login": asked.credentials}
    assert (asked.metadata["n"], asked.connection_config["n"], asked.entrypoint) == (7, 7, "run")
    assert asked.timeout_seconds == 150


def test_handler_is_told_the_defaults_of_what_the_run_wasnt_given() -> None:
    bench = TestBench(Hard)
    info = RunInfo(run_id="hard-1", uid="test-1", started_at=1e9)
    bench.live(bench.world(info), {}, info)
    assert (ASKED[0].metadata["n"], ASKED[0].connection_config["status"]) == (0, "ready")


def test_secret_in_a_verdict_reaches_no_ledger() -> None:
    store = MockSecretStore({"warehouse": '{"username": "etl", "password": "s3cr3t-0815"}'})
    with using_infrastructure(InfrastructureContext(secret_store=store)):
        run = run_app(Hard, Order(status="leak", login=basic_ref("warehouse")))
    assert run.outcome == "Failed"
    assert "SecretLeakError" in run.message
    assert "s3cr3t-0815" not in repr(run.ledger) + repr(run.result)


def test_credential_that_is_not_there_fails_the_run_with_its_name() -> None:
    with using_infrastructure(InfrastructureContext(secret_store=MockSecretStore({}))):
        run = run_app(Hard, Order(login=basic_ref("warehouse")))
    assert (run.outcome, run.executed) == ("Failed", [PREFLIGHT])
    assert "'warehouse'" in run.message


@pytest.mark.slow
@pytest.mark.parametrize(("app", "status"), [(Hard, "ready"), (Hard, "not_ready"), (Soft, "broken")])
def test_gate_is_replayed_alike_after_a_crash_anywhere(app: type[App], status: str) -> None:
    assert check_durability(app, Order(status=status), orders=1).crashes > 0


@pytest.mark.slow
@pytest.mark.parametrize("before", [Open, Soft, Hard])
@pytest.mark.parametrize("after", [Open, Soft, Hard])
@pytest.mark.parametrize("status", ["ready", "not_ready"])
def test_run_keeps_the_mode_that_it_began_with(before: type[App], after: type[App], status: str) -> None:
    """Restarted with other code after each step, a run ends as it would have ended."""
    payload = TestBench(before).payload(Order(status=status))
    whole = run_app(before, Order(status=status))
    ends = [end for crash in range(2 * len(whole.ledger) + 2) if (end := restarted(before, after, payload, crash))]
    assert len(ends) >= len(whole.ledger)
    for result, executed in ends:
        assert (result.outcome, result.error) == (whole.outcome, whole.result.error)
        assert sorted(executed) == sorted(whole.executed)


def restarted(
    before: type[App], after: type[App], payload: JSONObject, crash: int
) -> tuple[RouteResult, list[str]] | None:
    """A run that is given other code after so many steps; None if it was over, or had done nothing, by then."""
    info = RunInfo(run_id="base-1", uid="test-1", started_at=1e9, correlation_id="base-1")
    first, second = TestBench(before), TestBench(after)
    world = first.world(info)
    steps: list[object] = []

    def crash_now(step: object) -> bool:
        steps.append(step)
        return len(steps) > crash

    try:
        first.live(world, payload, info, crash_now)
    except SimulatedCrash:
        if not world.calls:
            return None
        return second.live(world, payload, info), [one.task for one in world.executions]
    return None


def test_cancelled_at_the_gate_nothing_begins() -> None:
    run = run_app(Hard, Order(), durations={PREFLIGHT: 100}, cancel_after=10)
    assert (run.outcome, [entry.task for entry in run.ledger if entry.task in ("work", "tell")]) == ("Cancelled", [])


def test_on_complete_is_called_as_after_every_end() -> None:
    class Telling(Base):
        preflight_gate_mode = "hard"

        @override
        async def on_complete(self) -> None:
            await self.tell(Order())

    assert run_app(Telling, Order(status="not_ready")).executed == [PREFLIGHT, "tell"]


def test_entry_points_have_modes_of_their_own() -> None:
    class Both(Base):
        preflight_gate_entrypoint_modes: ClassVar = {"mine": "hard"}

        @entrypoint
        async def mine(self, input: Order) -> Done:
            return await self.work(input)

    assert run_app(Both, Order(status="not_ready"), entrypoint="mine").outcome == "Failed"
    assert PREFLIGHT not in run_app(Both, Order(status="not_ready")).executed


def test_input_as_large_as_may_be_passes_the_gate() -> None:
    class Small(Base):
        preflight_gate_mode = "hard"
        max_payload_bytes = 1000

        @override
        async def run(self, input: Order) -> Done:
            return Done()

    empty = len(json.dumps(TestBench(Small).payload(Order()), separators=(",", ":")))
    assert run_app(Small, Order(text="x" * (1000 - empty))).outcome == "Succeeded"
    assert "InvalidInput" in str(run_app(Small, Order(text="x" * (1001 - empty))).error)


def test_settings_that_make_no_sense_are_refused_with_the_class() -> None:
    with pytest.raises(AppDefinitionError) as caught:

        class Odd(Base):
            preflight_gate_mode = "strict"  # type: ignore[assignment]
            preflight_gate_entrypoint_modes: ClassVar = {"other": "hard", "run": "never"}  # type: ignore[dict-item]
            preflight_gate_timeout_seconds = 0
            preflight_gate_max_attempts = 0

    said = str(caught.value)
    assert "preflight_gate_mode is 'strict': use one of 'off', 'soft', 'hard'" in said
    assert "preflight_gate_entrypoint_modes['run'] is 'never'" in said
    assert "names 'other'; the entry points are 'run'" in said
    assert "preflight_gate_timeout_seconds is 0" in said
    assert "preflight_gate_max_attempts is 0" in said


def test_route_of_a_run_without_a_gate_loads_nothing_of_it() -> None:
    for name in ("application_sdk.replay.preflight", "application_sdk.handler.gate"):
        sys.modules.pop(name, None)
    assert run_app(Open, Order()).outcome == "Succeeded"
    assert "application_sdk.replay.preflight" not in sys.modules
