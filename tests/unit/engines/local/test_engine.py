"""What a life of a run makes of what earlier lives have left in the ledger. Attempts are scripted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.engines.local.builders import call, new_run, success
from tests.unit.engines.local.test_dispatcher import Script

from application_sdk.engines.local.engine import LocalEngine
from application_sdk.engines.local.ledger import Ledger, LedgerSeed
from application_sdk.engines.local.records import AttemptRecord, CallRecord
from application_sdk.engines.local.run_store import RunFolder, RunStore
from application_sdk.engines.processes.executor_protocol import AttemptEnded
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import CANCEL_KEY, Completion

FIRST, SECOND, THIRD = (call(name, sequence=number) for number, name in enumerate(("first", "second", "third")))
EARLIER = LedgerSeed(
    pending=[CallRecord(made, 0, 1000.0) for made in (FIRST, SECOND, THIRD)],
    attempts=[AttemptRecord(FIRST.key, 1, 1000.0)],
)


class Life:
    """A life of a run whose ledger holds three calls and no completion, and how it is begun."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.ledger = Ledger.create(folder.ledger, new_run(), EARLIER)
        self.script = Script()

    def begin(self) -> LocalEngine:
        info = RunInfo(run_id="orders-1", uid="uid-1", started_at=1000.0, correlation_id="c")
        return LocalEngine(self._folder, self.ledger, self.script, info, clock=self.script.clock)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(RunStore(tmp_path).create("orders-1"))
    yield made
    made.ledger.close()


@pytest.mark.parametrize(("generation", "in_flight"), [(1, [FIRST.key, THIRD.key]), (2, [])])
def test_calls_without_a_checkpoint_are_in_flight_unless_the_run_was_given_a_second_chance(
    tmp_path: Path, generation: int, in_flight: list[str]
) -> None:
    folder = RunStore(tmp_path).create("orders-1")
    with Ledger.create(folder.ledger, replace(new_run(), generation=generation), EARLIER) as ledger:
        ledger.commit([success(SECOND)])
        info = RunInfo(run_id="orders-1", uid="uid-1", started_at=1000.0, correlation_id="c")
        engine = LocalEngine(folder, ledger, Script(), info)
        assert engine.history_length() == 1
        assert engine.in_flight() == in_flight


def test_a_call_that_is_made_again_goes_on_counting_its_attempts_and_takes_todays_limits(life: Life) -> None:
    engine = life.begin()
    corrected = replace(FIRST, policy={**FIRST.policy, "timeoutSeconds": 99.0})
    engine.schedule([corrected])
    life.script.events.append(AttemptEnded(FIRST.key, output={}))
    (done,) = engine.receive()
    assert done.attempts == 2
    assert life.script.started[0].info.policy["timeoutSeconds"] == 99.0
    assert life.ledger.calls()[0].call.policy["timeoutSeconds"] == 99.0
    assert life.ledger.calls()[0].scheduled_at == 1000.0


def test_what_was_called_before_a_cancellation_is_not_executed_after_it(life: Life) -> None:
    life.ledger.commit([Completion(CANCEL_KEY, CANCEL_KEY, "Cancelled", 1001.0)])
    engine = life.begin()
    assert [done.key for done in engine.receive()] == [CANCEL_KEY]
    cleanup = replace(call("clean_up", sequence=3), cleanup=True)
    engine.schedule([FIRST, cleanup])
    assert [(done.task, done.outcome) for done in engine.receive()] == [("first", "Cancelled")]
    life.script.events.append(AttemptEnded(cleanup.key, output={}))
    assert [(done.task, done.outcome) for done in engine.receive()] == [("clean_up", "Succeeded")]
    assert [work.info.task for work in life.script.started] == ["clean_up"]
