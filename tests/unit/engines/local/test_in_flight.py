"""What a life of a run is told of the calls that earlier lives had under way when they ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.engines.local.builders import call, new_run, success
from tests.unit.engines.local.test_dispatcher import Script

from application_sdk.engines.local.engine import LocalEngine
from application_sdk.engines.local.home import Home
from application_sdk.engines.local.ledger import Inheritance, Ledger
from application_sdk.engines.local.records import CallRecord
from application_sdk.execution.definition import RunInfo

FIRST, SECOND, THIRD = (call(name, sequence=number) for number, name in enumerate(("first", "second", "third")))


@pytest.mark.parametrize(("generation", "in_flight"), [(1, [FIRST.key, THIRD.key]), (2, [])])
def test_calls_without_a_checkpoint_are_in_flight_unless_the_run_was_given_a_second_chance(
    tmp_path: Path, generation: int, in_flight: list[str]
) -> None:
    folder = Home(tmp_path).create("orders-1")
    earlier = Inheritance(pending=[CallRecord(made, 0, 1000.0) for made in (FIRST, SECOND, THIRD)])
    with Ledger.create(folder.ledger, replace(new_run(), generation=generation), earlier) as ledger:
        ledger.commit([success(SECOND)])
        info = RunInfo(run_id="orders-1", uid="uid-1", started_at=1000.0, correlation_id="c")
        engine = LocalEngine(folder, ledger, Script(), info)
        assert engine.history_length() == 1
        assert engine.in_flight() == in_flight
