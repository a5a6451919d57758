"""What a retry keeps of a failed run, and what it executes again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engines.local.bench import Bench
from tests.unit.engines.local.builders import call, new_run, success

from application_sdk.engines.local.errors import RunFinishedError
from application_sdk.engines.local.records import AttemptRecord, CallRecord, RunRecord
from application_sdk.engines.local.retry_run import retry, select_seed
from application_sdk.errors import TaskFailedError
from application_sdk.execution.engine import CANCEL_KEY, Completion
from application_sdk.wire.fields import ErrorFields


def failed(name: str, message: str = "bad") -> Completion:
    made = call(name)
    return Completion(made.key, name, "Failed", 1001.0, 1, error=ErrorFields(type="ValueError", message=message))


def run_failed_of(completion: Completion | None) -> RunRecord:
    run = new_run()
    message = "of itself"
    if completion is not None:
        error = completion.error or ErrorFields(type="", message="")
        message = str(TaskFailedError(completion.task, error_type=error["type"], error_message=error["message"]))
    fields = {name: getattr(run, name) for name in run.__dataclass_fields__}
    return RunRecord(**fields, phase="Failed", error=ErrorFields(type="TaskFailedError", message=message))


def records(*names: str, made_after: int = 0) -> list[CallRecord]:
    return [CallRecord(call(name, sequence=place), made_after, 1000.0) for place, name in enumerate(names)]


def test_what_came_before_the_failure_is_kept_in_order() -> None:
    history = [success(call("a")), failed("b"), success(call("c"))]
    kept = select_seed(run_failed_of(history[1]), history, [], records("a", "b", "c"), [])
    assert [done.task for done in kept.completions] == ["a"]
    assert [record.call.task for record in kept.pending] == ["b", "c"]


def test_what_was_completed_beside_the_failure_is_set_aside_but_not_what_followed_it() -> None:
    history = [failed("a"), success(call("beside")), success(call("after"))]
    calls = [*records("a", "beside"), *records("after", made_after=1)]
    assert [done.task for done in select_seed(run_failed_of(history[0]), history, [], calls, []).detached] == ["beside"]


def test_what_came_too_late_for_the_failed_route_is_not_done_again() -> None:
    history = [failed("a")]
    kept = select_seed(run_failed_of(history[0]), history, [success(call("late"))], records("a", "late"), [])
    assert [done.task for done in kept.detached] == ["late"]


def test_a_failure_that_the_route_had_caught_is_part_of_the_plan_and_stays() -> None:
    history = [failed("caught", "mild"), success(call("a")), failed("fatal", "severe")]
    kept = select_seed(run_failed_of(history[2]), history, [], records("caught", "a", "fatal"), [])
    assert [done.task for done in kept.completions] == ["caught", "a"]


def test_a_failure_of_the_routes_own_code_costs_no_checkpoint() -> None:
    history = [success(call("a")), success(call("b"))]
    assert len(select_seed(run_failed_of(None), history, [], records("a", "b"), []).completions) == 2


def test_what_the_clean_up_did_is_taken_back() -> None:
    history = [success(call("a")), success(call("clean up"))]
    kept = select_seed(run_failed_of(None), history, [], records("a"), [])
    assert [done.task for done in kept.completions] == ["a"]
    assert kept.detached == []


def test_a_cancellation_is_taken_back() -> None:
    history = [success(call("a")), Completion(CANCEL_KEY, CANCEL_KEY, "Cancelled", 1002.0)]
    run = replace(run_failed_of(None), phase="Cancelled", error=None)
    assert [done.task for done in select_seed(run, history, [], records("a"), []).completions] == ["a"]


def test_used_numbers_stay_used_and_nothing_is_charged_twice() -> None:
    history = [failed("a")]
    attempts = [AttemptRecord(call("a").key, 1, 1000.0, 1001.0, "ValueError", "App")]
    kept = select_seed(run_failed_of(history[0]), history, [], records("a"), attempts)
    assert [(one.attempt, one.reason, one.budget) for one in kept.attempts] == [(1, "ValueError", "None")]


@pytest.mark.slow
def test_a_retried_run_goes_on_from_its_failure_and_repeats_nothing_else(bench: Bench) -> None:
    assert bench.run("needs-permission").phase == "Failed"
    bench.journal.with_name("journal.allowed").touch()
    kept = retry(bench.home.folder("orders-1"), None, "")
    run = bench.execute()
    assert (run.phase, run.output, run.generation) == ("Succeeded", {"said": "allowed"}, 2)
    assert sorted(bench.lines()) == ["after", "asked", "asked", "beside"]
    assert kept.checkpoints + kept.detached == 1
    assert (bench.home.folder("orders-1").path / "ledger-1.db").is_file()


@pytest.mark.slow
def test_a_run_that_failed_again_can_be_retried_again(bench: Bench) -> None:
    bench.run("needs-permission")
    folder = bench.home.folder("orders-1")
    retry(folder, None, "")
    assert bench.execute().phase == "Failed"
    bench.journal.with_name("journal.allowed").touch()
    retry(folder, None, "")
    assert bench.execute().phase == "Succeeded"
    assert bench.lines().count("beside") == 1


@pytest.mark.parametrize(("entrypoint", "message"), [("run", "nothing to try again"), (None, "apprun resume orders-1")])
def test_only_a_run_that_failed_can_be_retried(bench: Bench, entrypoint: str | None, message: str) -> None:
    folder = bench.begin()
    if entrypoint:
        bench.execute()
    with pytest.raises(RunFinishedError, match=message):
        retry(folder, None, "")
