"""What outlasts the death of the process that executes a run: all that is committed, and nothing is done twice."""

from __future__ import annotations

import collections
import os
import select
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench

from application_sdk.engines.local.errors import OtherAppError, RunBusyError, RunInterruptedError
from application_sdk.engines.local.events import AttemptStarted, Committed, Event, Progressed
from application_sdk.engines.local.lock import RunLock


@pytest.mark.slow
def test_killed_after_each_commit_a_run_goes_on_and_repeats_nothing_that_was_committed(any_bench: Bench) -> None:
    any_bench.begin()
    lives = 0
    while any_bench.execute_until_killed(after_commits=1):
        lives += 1
        with any_bench.ledger() as ledger:
            assert len(ledger.history()) >= lives
    run = any_bench.execute()
    assert run.output == {"said": "FIRST BRANCH 0 BRANCH 1 BRANCH 2 LAST"}
    # Each life committed something: first, up to three branches, the timer, last.
    assert 4 <= lives <= 6
    with any_bench.ledger() as ledger:
        attempts = collections.Counter(done.key for done in ledger.history())
        assert set(attempts.values()) == {1}
    # A branch that ran when its run was killed may have run twice; what was committed before didn't.
    assert any_bench.lines().count("first") == 1
    assert any_bench.lines().count("last") == 1


@pytest.mark.slow
def test_an_attempt_that_died_with_its_run_keeps_its_number_and_is_not_charged_to_the_task(bench: Bench) -> None:
    bench.begin("refused")

    def kill(notice: Event) -> None:
        if isinstance(notice, AttemptStarted):
            os.kill(os.getpid(), signal.SIGKILL)

    assert bench.in_child(lambda: bench.execute(observer=kill)) == -signal.SIGKILL
    assert bench.execute().output == {"said": "ValueError after 3: not today"}
    assert [(one.attempt, one.reason, one.budget) for one in bench.attempts()] == [
        (1, "ExecutorLost", "Disruption"),
        (2, "ValueError", "App"),
        (3, "ValueError", "App"),
    ]


def test_no_attempt_outlives_a_killed_run(bench: Bench) -> None:
    bench.begin("waiting")
    os.mkfifo(bench.journal)
    child = os.fork()
    if child == 0:
        try:
            bench.execute()
        finally:
            os._exit(1)
    pid = _pid_of_waiting_task(bench)
    handle = os.pidfd_open(pid)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    ended, _, _ = select.select([handle], [], [], 20)
    os.close(handle)
    assert ended, f"process {pid} of a task still runs"


def test_a_second_executor_of_a_run_is_refused(bench: Bench) -> None:
    folder = bench.begin()
    with RunLock("orders-1", folder.lock), pytest.raises(RunBusyError, match="being executed by process"):
        bench.execute()
    assert bench.lines() == []


def test_a_stop_lets_attempts_clean_up_and_charges_them_nothing(any_bench: Bench) -> None:
    any_bench.begin("waiting")

    def stop(notice: Event) -> None:
        if isinstance(notice, AttemptStarted) and notice.call.task == "wait":
            any_bench.requests.stop()

    with pytest.raises(RunInterruptedError, match="apprun resume orders-1"):
        any_bench.execute(observer=stop)
    with any_bench.ledger() as ledger:
        assert ledger.run().phase == "Running"
        assert [done.task for done in ledger.history()] == ["step"]
    assert [(one.reason, one.budget) for one in any_bench.attempts()] == [
        ("Completed", "None"),
        ("Interrupted", "None"),
    ]


def test_what_completes_while_the_engine_stops_is_committed(any_bench: Bench) -> None:
    any_bench.limits = replace(any_bench.limits, stop_seconds=60)
    any_bench.begin()

    def stop(notice: Event) -> None:
        if isinstance(notice, AttemptStarted):
            any_bench.requests.stop()

    with pytest.raises(RunInterruptedError):
        any_bench.execute(observer=stop)
    with any_bench.ledger() as ledger:
        assert [done.task for done in ledger.history()] == ["step"]


def test_a_cancelled_run_ends_in_its_own_time_and_cleans_up(any_bench: Bench) -> None:
    folder = any_bench.begin("waiting")

    def cancel(notice: Event) -> None:
        if isinstance(notice, AttemptStarted) and notice.call.task == "wait":
            folder.cancel_request.touch()

    run = any_bench.execute(observer=cancel)
    assert run.phase == "Cancelled"
    assert "cleaned up" in any_bench.lines()
    with any_bench.ledger() as ledger:
        outcomes = [(done.task, done.outcome) for done in ledger.history()]
    assert ("cancel", "Cancelled") in outcomes
    assert ("wait", "Cancelled") in outcomes


def test_a_cancellation_is_replayed_at_its_place(any_bench: Bench) -> None:
    folder = any_bench.begin("waiting")
    folder.cancel_request.touch()
    assert any_bench.execute_until_killed(after_commits=1)
    run = any_bench.execute()
    assert run.phase == "Cancelled"
    with any_bench.ledger() as ledger:
        assert [done.task for done in ledger.history()].count("cancel") == 1


def test_a_run_that_is_over_is_not_executed_again(any_bench: Bench) -> None:
    first = any_bench.run()
    before = any_bench.lines()
    assert any_bench.execute() == first
    assert any_bench.lines() == before


def test_a_timer_counts_from_when_it_was_set_whatever_happens_in_between(bench: Bench) -> None:
    bench.begin()

    def kill_at_timer(notice: Event) -> None:
        if isinstance(notice, Committed) and notice.completion.task == "step" and len(bench.lines()) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    bench.in_child(lambda: bench.execute(observer=kill_at_timer))
    bench.execute()
    with bench.ledger() as ledger:
        (timer,) = [record for record in ledger.calls() if record.call.role == "timer"]
        (fired,) = [done for done in ledger.history() if done.task == "sleep"]
    assert fired.at >= timer.scheduled_at + (timer.call.seconds or 0)


def test_a_ledger_of_another_app_is_refused(bench: Bench) -> None:
    bench.begin()

    class Other(bench.app_class):  # type: ignore[name-defined, misc]
        name = "invoices"

    bench.app_class = Other
    with pytest.raises(OtherAppError, match=r"belongs to app 'orders', but .* is app 'invoices' now"):
        bench.execute()


def _pid_of_waiting_task(bench: Bench) -> int:
    """Reads the journal, a pipe here, until the task has said that it runs."""
    while True:
        for line in bench.journal.read_text().splitlines():
            if line.startswith("wait "):
                return int(line.split()[1])


def test_a_call_that_gives_way_after_its_route_is_cancelled_too(any_bench: Bench) -> None:
    folder = any_bench.begin("lingering")

    def cancel(notice: Event) -> None:
        if isinstance(notice, Progressed):
            folder.cancel_request.touch()

    assert any_bench.execute(observer=cancel).phase == "Cancelled"
    with any_bench.ledger() as ledger:
        outcomes = [(done.task, done.outcome) for done in ledger.history()]
    assert outcomes == [("cancel", "Cancelled"), ("give_way_slowly", "Cancelled")]
    assert [(one.reason, one.budget) for one in any_bench.attempts()] == [("Cancelled", "None")]


def test_an_attempt_that_never_gives_way_is_left_behind(tmp_path: Path, orders: Path) -> None:
    """In one process there is no way to end it."""
    bench = Bench(tmp_path, orders, in_process=True)
    bench.limits = replace(bench.limits, stop_seconds=0.1, cancel_seconds=0.1)
    folder = bench.begin("clinging")

    def cancel(notice: Event) -> None:
        if isinstance(notice, Progressed):
            folder.cancel_request.touch()

    assert bench.execute(observer=cancel).phase == "Cancelled"
    assert [one.reason for one in bench.attempts()] == ["Cancelled"]
