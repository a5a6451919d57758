"""What becomes of attempts: results, failures, crashes, limits. Each in processes, most also without."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench

from application_sdk.engines.local.events import AttemptFailed, AttemptStarted, Committed, Event, Progressed
from application_sdk.engines.local.limits import Limits
from application_sdk.engines.local.source import find_source


def test_a_run_gives_the_output_of_its_route(any_bench: Bench) -> None:
    run = any_bench.run()
    assert (run.phase, run.error) == ("Succeeded", None)
    assert run.output == {"said": "FIRST BRANCH 0 BRANCH 1 BRANCH 2 LAST"}
    assert sorted(any_bench.lines()) == ["branch 0", "branch 1", "branch 2", "first", "last"]


def test_a_failing_task_is_tried_as_often_as_declared_with_one_idempotency_key(any_bench: Bench) -> None:
    run = any_bench.run("refused")
    assert run.output == {"said": "ValueError after 2: not today"}
    first, second = any_bench.lines()
    assert first.split()[:2] == ["refuse", "1"]
    assert second.split()[:2] == ["refuse", "2"]
    assert first.split()[2] == second.split()[2]
    assert [(one.reason, one.budget) for one in any_bench.attempts()] == [("ValueError", "App")] * 2


def test_a_task_that_exits_or_is_killed_loses_an_attempt_and_nothing_else(bench: Bench) -> None:
    failures: list[AttemptFailed] = []
    run = bench.run("crashing", lambda notice: failures.append(notice) if isinstance(notice, AttemptFailed) else None)
    assert run.output == {"said": "survived"}
    assert bench.lines() == ["crash 1", "crash 2", "crash 3"]
    assert [(one.reason, one.budget, one.exit_code) for one in bench.attempts()] == [
        ("ProcessDied", "App", 3),
        ("ProcessDied", "App", -9),
        ("Completed", "None", None),
    ]
    assert "exit code 3" in failures[0].error["message"]
    assert failures[0].error["traceback"] == "about to crash\n"
    assert "SIGKILL" in failures[1].error["message"]


def test_a_task_that_ignores_its_time_limit_is_killed(bench: Bench) -> None:
    run = bench.run("hanging")
    assert run.phase == "Failed"
    (attempt,) = bench.attempts()
    assert attempt.reason == "TimedOut"
    assert "after 0.2 s (timeout_seconds)" in attempt.message
    pid = int(bench.lines()[0].split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_task_that_gives_no_sign_of_life_is_ended_and_its_traceback_kept(bench: Bench) -> None:
    run = bench.run("silent")
    assert run.phase == "Failed"
    (attempt,) = bench.attempts()
    assert (attempt.reason, attempt.exit_code) == ("HeartbeatLost", 1)
    with bench.ledger() as ledger:
        (done,) = ledger.history()
    assert done.error is not None
    assert "in fall_silent" in done.error["traceback"]


def test_heartbeat_details_and_progress_reach_the_next_attempt_and_the_observer(any_bench: Bench) -> None:
    seen: list[Event] = []
    run = any_bench.run("paging", seen.append)
    assert run.output == {"said": "from page 7"}
    progress = [notice.progress for notice in seen if isinstance(notice, Progressed)]
    assert {"done": 7, "total": 10, "message": "pages"} in progress


@pytest.mark.slow
def test_the_latest_heartbeat_outlives_a_killed_process(bench: Bench) -> None:
    assert bench.run("beating").output == {"said": "from page 2"}


def test_sigterm_ends_a_forked_child_and_not_its_attempt(bench: Bench) -> None:
    assert bench.run("forking").output == {"said": "child -15, attempt 1"}


def test_threads_of_a_task_belong_to_its_attempt(any_bench: Bench) -> None:
    assert any_bench.run("threading").output == {"said": " / ".join(["own own own"] * 3)}


def test_the_observer_hears_of_each_step_in_order(bench: Bench) -> None:
    seen: list[str] = []

    def observe(notice: Event) -> None:
        if isinstance(notice, AttemptStarted):
            seen.append(f"start {notice.call.task} {notice.attempt}")
        elif isinstance(notice, AttemptFailed):
            seen.append(f"fail {notice.call.task} {notice.attempt}")
        elif isinstance(notice, Committed):
            seen.append(f"commit {notice.completion.task} {notice.completion.outcome}")

    bench.run("refused", observe)
    assert seen == ["start refuse 1", "fail refuse 1", "start refuse 2", "commit refuse Failed"]


def forkers() -> set[int]:
    """The processes that attempts are forked from, as a user with `ps` would find them."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in children if b"local.fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.mark.slow
def test_attempts_of_a_killed_forker_are_lost_without_charge(bench: Bench) -> None:
    # Fixtures of other tests in this process may hold an executor open, and so a forker of its own.
    others = forkers()
    started: list[int] = []

    def kill_forker(notice: Event) -> None:
        if not isinstance(notice, AttemptStarted):
            return
        started.append(notice.attempt)
        if len(started) == 3:
            (forker,) = forkers() - others
            os.kill(forker, signal.SIGKILL)

    run = bench.run("outlasting", kill_forker)
    assert run.output == {"said": "branch 0 at attempt 2, branch 1 at attempt 2, branch 2 at attempt 2"}
    lost = [(one.reason, one.budget) for one in bench.attempts() if one.attempt == 1]
    assert lost == [("ExecutorLost", "Disruption")] * 3


def test_what_runs_when_the_route_ends_is_ended_with_it(any_bench: Bench) -> None:
    run = any_bench.run("abandoning")
    assert run.output == {"said": "went on"}
    assert "wait gave way" in any_bench.lines()
    assert {one.reason for one in any_bench.attempts()} == {"Completed", "Abandoned"}


def test_a_call_that_the_route_gave_up_makes_room_at_once(any_bench: Bench) -> None:
    any_bench.limits = Limits(parallelism=1, stop_seconds=5, cancel_seconds=5, overdue_seconds=0.1)
    assert any_bench.run("impatient").output == {"said": "NEXT"}
    # A process that is slow to start may note that it waits when it has been given up already.
    assert [line for line in any_bench.lines() if not line.startswith("wait")] == ["next", "last"]
    assert [(one.reason, one.budget) for one in any_bench.attempts()] == [
        ("Abandoned", "None"),
        ("Completed", "None"),
        ("Completed", "None"),
    ]
    with any_bench.ledger() as ledger:
        outcomes = {done.task: done.outcome for done in ledger.history() if done.task == "wait"}
    assert outcomes == {"wait": "Cancelled"}


@pytest.mark.slow
def test_a_call_that_was_given_up_is_replayed_so(any_bench: Bench) -> None:
    any_bench.limits = Limits(parallelism=1, stop_seconds=5, cancel_seconds=5, overdue_seconds=0.1)
    any_bench.begin("impatient")
    while any_bench.execute_until_killed(after_commits=1):
        pass
    with any_bench.ledger() as ledger:
        assert ledger.run().output == {"said": "NEXT"}
    assert any_bench.lines().count("next") == 1


def test_a_run_continues_as_another_with_its_correlation_id(bench: Bench) -> None:
    bench.begin("counting-down", count=2)
    run = bench.execute()
    assert (run.name, run.output, run.continued_from) == ("orders-1-c3", {"said": "done"}, "orders-1-c2")
    assert bench.lines() == ["at 2", "at 1", "at 0"]
    with bench.ledger() as ledger:
        assert (ledger.run().continued_as, ledger.run().correlation_id) == ("orders-1-c2", run.correlation_id)


@pytest.mark.slow
def test_an_app_whose_import_ends_the_process_fails_its_tasks_with_a_message(tmp_path: Path) -> None:
    # The module imports here, as it does in an editor, but not where its tasks run.
    app = tmp_path / "suicidal.py"
    app.write_text((Path(__file__).parent / "apps" / "orders.py").read_text())
    bench = Bench(tmp_path, app)
    app.write_text("import os\nprint('bye', flush=True)\nos._exit(7)\n")
    bench.source = find_source(f"{app}:Orders", tmp_path)
    run = bench.run()
    assert run.phase == "Failed"
    with bench.ledger() as ledger:
        (done,) = ledger.history()
    assert done.error is not None
    assert done.error["type"] == "LoadFailed"
    assert "ended the process, exit code 7" in done.error["message"]
    assert done.error["traceback"].startswith("bye\n")
