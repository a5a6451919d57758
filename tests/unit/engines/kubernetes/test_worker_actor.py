"""A warm pod whose calls share a process: its globals stay, and the lines and ends of calls are told apart."""

from __future__ import annotations

import signal

from tests.support.inboxes import Inbox, worker
from tests.support.pods import PodProcess
from tests.unit.engines.kubernetes.test_worker import APP, EARLY, how, inbox, said

from application_sdk.wire.pod import EXIT_REPORTED, EXIT_TERMINATED

__all__ = ["inbox"]


def policy(**limits: float) -> dict[str, object]:
    return {"retry": how("")["call"]["policy"]["retry"], **limits}


def test_calls_share_a_process_and_its_globals(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, mode="actor") as running:
        inbox.put(how("globals", 1), how("globals", 2), how("globals", 3))
        counts = sorted(said(report).split() for report in inbox.wait_for_reports(3))
        assert running.drain() == EXIT_REPORTED, running.err
    assert [count for count, _ in counts] == ["1", "2", "3"]
    assert len({process for _, process in counts}) == 1


def test_calls_side_by_side_keep_their_lines_and_ends_apart(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, mode="actor", concurrency=3) as running:
        inbox.put(how("sleeps 1", 1), how("fails", 2), how("beats", 3))
        inbox.wait_for_reports(3)
        assert running.drain() == EXIT_REPORTED
    (failed,) = inbox.reports(2)
    assert failed["error"]["type"] == "ValueError"
    assert "body fails" in failed["log"]["tail"]
    assert "body sleeps" not in failed["log"]["tail"]
    assert inbox.reports(3)[0]["heartbeat"] == {"row": 7}
    lines = {line.partition("body ")[2].split(" 1")[0]: line for line in running.out.splitlines() if "body" in line}
    assert '"appTask":"daily-0000000000000001"' in lines["sleeps"]
    assert '"appTask":"daily-0000000000000002"' in lines["fails"]


def test_a_call_that_ends_the_process_is_charged_and_the_next_has_another(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, mode="actor") as running:
        inbox.put(how("globals", 1), how("exits", 2), how("globals", 3))
        inbox.wait_for_reports(3)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(2)[0]["error"]["type"] == "ProcessDied"
    assert said(inbox.reports(3)[0]).split()[0] == "1"


def test_a_process_that_several_calls_lose_ends_the_pod(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY, mode="actor", concurrency=2) as running:
        inbox.put(how("waits", 1))
        inbox.wait_for_begin()
        inbox.put(how("waits", 1), how("exits", 2))
        assert running.wait() == EXIT_TERMINATED
    assert inbox.reports() == []


def test_a_body_that_blocks_the_shared_loop_is_found_by_its_watchdog(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, mode="actor") as running:
        inbox.put(how("blocks", 1, policy=policy(heartbeatTimeoutSeconds=0.5)), how("after", 2))
        inbox.wait_for_reports(2)
        assert running.drain() == EXIT_REPORTED
    error = inbox.reports(1)[0]["error"]
    assert error["type"] == "HeartbeatLost"
    assert 'app.py", line' in error["traceback"]


def test_a_shared_call_over_its_time_is_killed(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, mode="actor") as running:
        inbox.put(how("blocks", 1, policy=policy(timeoutSeconds=0.5)), how("after", 2))
        inbox.wait_for_reports(2)
        running.drain()
    assert inbox.reports(1)[0]["error"]["type"] == "TimedOut"


def test_a_shared_call_that_is_reassigned_is_cancelled_alone(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY, mode="actor", concurrency=2) as running:
        inbox.put(how("waits", 1), how("sleeps 3", 2))
        inbox.wait_for_begin(2)
        inbox.put(how("sleeps 3", 2), how("globals", 3))
        inbox.wait_for_reports(2)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(1) == []


def test_a_terminated_actor_reports_what_its_calls_still_bring(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY, mode="actor", concurrency=2) as running:
        inbox.put(how("cleans up", 1), how("waits", 2))
        inbox.wait_for_begin(2)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == EXIT_TERMINATED
    assert [said(report) for report in inbox.reports()] == ["cleaned up"]


def test_an_actor_whose_module_ends_it_fails_to_load(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, "import os; os._exit(4)", inbox, mode="actor") as running:
        inbox.put(how("a", 1))
        (report,) = inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert report["error"]["type"] == "LoadFailed"
