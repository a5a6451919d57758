"""A warm pod as a whole: a process, its inbox over a real HTTP server, forked attempts, and what they report."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.inboxes import FENCED, POD, Inbox, entry, worker
from tests.support.pods import PodProcess
from tests.support.wire_server import WireServer

from application_sdk.wire.names import SECRETS_VARIABLE
from application_sdk.wire.pod import EXIT_FENCED, EXIT_NO_CALL, EXIT_REPORTED, EXIT_TERMINATED

APP = """
import asyncio, os, pathlib, signal, sys, tempfile, time
from application_sdk.app import App, task
from application_sdk.contracts import HeartbeatDetails, Input, Output

class Given(Input):
    how: str = ""

class Made(Output):
    said: str = ""

class Position(HeartbeatDetails):
    row: int = 0

seen = []

class Subject(App):
    @task
    async def work(self, input: Given) -> Made:
        how, context = input.how, self.task_context
        print(f"body {how} {context.attempt}", flush=True)
        if how == "fails":
            raise ValueError("no")
        if how == "exits":
            os._exit(3)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "blocks":
            time.sleep(60)
        if how == "waits":
            await asyncio.sleep(60)
        if how.startswith("sleeps"):
            await asyncio.sleep(float(how.partition(" ")[2]))
        if how == "cleans up":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return Made(said="cleaned up")
        if how == "beats":
            context.heartbeat(Position(row=7))
            context.progress(done=1, total=2)
        if how == "resumes":
            left = context.get_heartbeat_details(Position)
            return Made(said=str(left.row))
        if how == "state":
            value = await self.context.load_state("count") or {"n": 0}
            await self.context.save_state("count", {"n": value["n"] + 1})
        if how == "place":
            pathlib.Path("left").write_text("behind")
            return Made(said=f"{pathlib.Path.cwd()}|{tempfile.gettempdir()}|{sorted(os.listdir())}")
        if how == "leaks":
            return Made(said=pathlib.Path(os.environ["APPRUN_SECRETS_DIR"], "openai").read_text())
        if how == "globals":
            seen.append(how)
            return Made(said=f"{len(seen)} {os.getpid()}")
        return Made(said=f"{how} {context.attempt} {context.idempotency_key}")

    async def run(self, input: Given) -> Made:
        return await self.work(input)
"""


EARLY = "ACKNOWLEDGE_SECONDS=0.05"


@pytest.fixture
def inbox(server: WireServer) -> Inbox:
    inbox = Inbox()
    server.always = inbox
    inbox.put()
    return inbox


def said(report: dict[str, Any]) -> str:
    return str(report["output"]["said"])


def how(text: str, number: int = 1, attempt: int = 1, **fields: Any) -> dict[str, Any]:
    return entry(number, attempt, input={"how": text}, **fields)


def test_calls_are_executed_one_after_the_other_and_reported_once(pod: PodProcess, inbox: Inbox) -> None:
    pod.environ["APPRUN_NODE_NAME"] = "node1"
    with worker(pod, APP, inbox) as running:
        inbox.put(how("a", 1), how("b", 2))
        inbox.wait_for_reports(2)
        inbox.put(how("b", 2), how("c", 3))  # what is done may stay a while
        inbox.wait_for_reports(3)
        assert running.drain() == EXIT_REPORTED, running.err
    assert [said(report).split()[0] for number in (1, 2, 3) for report in inbox.reports(number)] == ["a", "b", "c"]
    assert len(inbox.writes) == 3
    assert {report["phase"] for report in inbox.reports()} == {"Succeeded"}
    assert {report["node"] for report in inbox.reports()} == {"node1"}
    assert {report["reportedAttempt"] for report in inbox.reports()} == {1}


def test_a_later_attempt_is_another_call_with_the_same_key(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("a"))
        inbox.wait_for_reports(1)
        inbox.put(how("a", attempt=2))
        inbox.wait_for_reports(2)
        assert running.drain() == EXIT_REPORTED
    first, second = map(said, inbox.reports())
    assert [text.split()[1] for text in (first, second)] == ["1", "2"]
    assert first.split()[2] == second.split()[2]


def test_an_inbox_for_another_pod_of_the_name_is_left_alone(pod: PodProcess, inbox: Inbox) -> None:
    inbox.put(how("a"), pod=POD | {"uid": "another"})
    with worker(pod, APP, inbox) as running:
        time.sleep(1)
        assert inbox.writes == []
        inbox.put(how("b", 2))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert [said(report).split()[0] for report in inbox.reports()] == ["b"]


@pytest.mark.parametrize(
    ("end", "kind"), [("exits", "ProcessDied"), ("killed", "ProcessDied"), ("fails", "ValueError")]
)
def test_a_call_that_ends_badly_ends_alone(pod: PodProcess, inbox: Inbox, end: str, kind: str) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how(end, 1), how("after", 2))
        inbox.wait_for_reports(2)
        assert running.drain() == EXIT_REPORTED
    (error,) = [report["error"] for report in inbox.reports(1)]
    assert (error["type"], error["attempt"]) == (kind, 1)
    assert "phase" not in inbox.reports(1)[0]
    assert said(inbox.reports(2)[0]).startswith("after")


def test_a_body_that_blocks_its_loop_is_ended_by_its_watchdog(pod: PodProcess, inbox: Inbox) -> None:
    policy = {"retry": how("")["call"]["policy"]["retry"], "heartbeatTimeoutSeconds": 0.5}
    with worker(pod, APP, inbox) as running:
        inbox.put(how("blocks", 1, policy=policy), how("after", 2))
        inbox.wait_for_reports(2)
        running.drain()
    error = inbox.reports(1)[0]["error"]
    assert error["type"] == "HeartbeatLost"
    assert 'app.py", line' in error["traceback"]


def test_a_body_that_blocks_its_loop_is_killed_when_its_time_is_up(pod: PodProcess, inbox: Inbox) -> None:
    policy = {"retry": how("")["call"]["policy"]["retry"], "timeoutSeconds": 0.5}
    with worker(pod, APP, inbox) as running:
        inbox.put(how("blocks", 1, policy=policy), how("after", 2))
        inbox.wait_for_reports(2)
        running.drain()
    error = inbox.reports(1)[0]["error"]
    assert error["type"] == "TimedOut"
    assert "0.5 s (timeout_seconds)" in error["message"]


def test_a_call_that_left_before_it_began_is_dropped(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("sleeps 1", 1), how("b", 2), how("c", 3))
        inbox.wait_for_begin()
        inbox.put(how("sleeps 1", 1), how("c", 3))
        inbox.wait_for_reports(2)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(2) == []
    assert "body b" not in running.out


def test_a_call_that_is_reassigned_while_it_runs_is_ended(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("waits", 1))
        inbox.wait_for_begin()
        inbox.put(how("after", 2))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(1) == []
    assert said(inbox.reports(2)[0]).startswith("after")


def test_a_call_that_ignores_its_reassignment_is_killed(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY, "GIVE_WAY_SECONDS=0.5") as running:
        inbox.put(how("blocks", 1))
        inbox.wait_for_begin()
        inbox.put(how("after", 2))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(1) == []


def test_an_inbox_altered_for_a_moment_changes_nothing(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("sleeps 1.5"))
        inbox.wait_for_begin()
        inbox.put()
        time.sleep(0.1)
        inbox.put(how("sleeps 1.5"))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert len(inbox.reports()) == 1
    assert running.out.count("body sleeps") == 1


def test_a_call_that_was_ended_without_an_outcome_begins_again(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("waits"))
        inbox.wait_for_begin()
        inbox.put()
        time.sleep(2)
        inbox.put(entry(1, input={"how": "a"}))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert said(inbox.reports()[0]).startswith("a 1")


def test_a_deleted_inbox_ends_nothing_until_it_is_back(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("sleeps 1.5"))
        inbox.wait_for_begin()
        inbox.set(None)
        inbox.wait_for_reports(1)
        inbox.put(how("sleeps 1.5"), how("b", 2))
        inbox.wait_for_reports(2)
        assert running.drain() == EXIT_REPORTED
    assert running.out.count("body sleeps") == 1


def test_a_pod_whose_inbox_does_not_come_back_ends(pod: PodProcess, inbox: Inbox) -> None:
    inbox.set(None)
    with worker(pod, APP, inbox, "GONE_SECONDS=0.2") as running:
        assert running.wait() == EXIT_FENCED
    assert "the pool" in running.err


def test_nothing_is_lost_while_the_api_server_is_away(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("sleeps 1", 1), how("b", 2))
        inbox.wait_for_begin()
        inbox.set_away(True)
        time.sleep(2)
        inbox.put(how("sleeps 1", 1), how("b", 2), how("c", 3))
        assert inbox.reports() == []
        inbox.set_away(False)
        inbox.wait_for_reports(3)
        assert running.drain() == EXIT_REPORTED
    assert {said(report).split()[0] for report in inbox.reports()} == {"sleeps", "b", "c"}
    assert running.out.count("body") == 3


def test_a_refused_report_ends_its_call_and_the_pod_lives(pod: PodProcess, inbox: Inbox) -> None:
    inbox.answers["daily-0000000000000001"] = lambda _: FENCED
    with worker(pod, APP, inbox) as running:
        inbox.put(how("a", 1), how("b", 2))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(1) == []
    assert len(inbox.reports(2)) == 1


def test_a_refused_acknowledgement_ends_its_process(pod: PodProcess, inbox: Inbox) -> None:
    inbox.answers["daily-0000000000000001"] = lambda _: FENCED
    with worker(pod, APP, inbox, EARLY) as running:
        inbox.put(how("waits", 1), how("b", 2))
        inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert inbox.reports(1) == []


def test_only_a_long_call_is_acknowledged(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, "ACKNOWLEDGE_SECONDS=0.6") as running:
        inbox.put(how("sleeps 1.2", 1), how("short", 2))
        inbox.wait_for_reports(2)
        running.drain()
    first, *others = inbox.writes
    assert first[0] == "daily-0000000000000001"
    assert set(first[1]) == {"startedAt"}
    outcome = {"phase", "reportedAttempt", "output", "error", "startedAt", "finishedAt"}
    assert [set(fields) for _, fields in others] == [outcome] * 2
    assert others[0][1]["startedAt"] == first[1]["startedAt"]


def test_heartbeat_details_and_progress_go_along_with_the_report(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("beats", 1), how("resumes", 2, heartbeat={"row": 3}))
        inbox.wait_for_reports(2)
        running.drain()
    assert inbox.reports(1)[0]["heartbeat"] == {"row": 7}
    assert inbox.reports(1)[0]["progress"] == {"done": 1, "total": 2}
    assert said(inbox.reports(2)[0]) == "3"


def test_state_comes_with_the_call_and_goes_with_the_report(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("state", 1, state={"count": {"n": 4}}))
        (report,) = inbox.wait_for_reports(1)
        running.drain()
    assert report["phase"] == "Saving"
    assert report["state"][0]["value"] == {"n": 5}


def test_each_process_has_its_own_globals_and_place(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("place", 1), how("place", 2), how("globals", 3), how("globals", 4))
        inbox.wait_for_reports(4)
        running.drain()
    (cwd, temp, files), (other, *_) = (said(inbox.reports(number)[0]).split("|") for number in (1, 2))
    assert cwd == temp != other
    assert files == "['left']"
    counts = [said(inbox.reports(number)[0]).split() for number in (3, 4)]
    assert [count for count, _ in counts] == ["1", "1"]
    assert counts[0][1] != counts[1][1]


@pytest.mark.parametrize("mode", ["process", "actor"])
def test_an_output_with_a_mounted_secret_is_refused(pod: PodProcess, inbox: Inbox, tmp_path: Path, mode: str) -> None:
    mount = tmp_path / "secrets"
    mount.mkdir()
    (mount / "openai").write_text("sk-1234567890abcdef")
    pod.environ[SECRETS_VARIABLE] = str(mount)
    with worker(pod, APP, inbox, mode=mode) as running:
        inbox.put(how("leaks"))
        (report,) = inbox.wait_for_reports(1)
        running.drain()
    assert report["error"]["type"] == "SecretLeakError"
    assert "sk-1234567890abcdef" not in str(inbox.writes) + running.out + running.err


@pytest.mark.parametrize("mode", ["process", "actor"])
def test_a_call_keeps_files_in_the_pods_store(pod: PodProcess, inbox: Inbox, tmp_path: Path, mode: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    pod.environ["APPRUN_STORE_URL"] = f"file://{store}"
    app = f"""{APP}
from application_sdk.contracts import FileReference

class Kept(Output):
    file: FileReference

class Subject(Subject):
    @task
    async def keep(self, input: Given) -> Kept:
        path = self.task_context.scratch / "page.txt"
        path.write_text("kept")
        return Kept(file=FileReference.from_local(path))
"""
    with worker(pod, app, inbox, mode=mode) as running:
        inbox.put(entry(1, task="keep"))
        (report,) = inbox.wait_for_reports(1)
        running.drain()
    assert report.get("phase") == "Succeeded", report
    assert [path.read_text() for path in store.rglob("*") if path.is_file()] == ["kept"]


def test_nothing_of_a_process_is_left_in_the_pod(pod: PodProcess, inbox: Inbox, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    pod.environ["TMPDIR"] = str(temporary)
    with worker(pod, APP, inbox) as running:
        inbox.put(how("place", 1), how("exits", 2), how("after", 3))
        inbox.wait_for_reports(3)
        running.drain()
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    assert not [path for path in temporary.iterdir() if path.name.startswith("apprun-task")]


def test_calls_side_by_side_up_to_the_concurrency_oldest_first(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, concurrency=2) as running:
        inbox.put(how("waits", 1), how("b", 2), how("c", 3), how("d", 4))
        inbox.wait_for_reports(3)
        running.drain()
    # The first keeps one of the two places, and the others take turns in the other one.
    bodies = [line.partition("body ")[2][0] for line in running.out.splitlines() if "body" in line]
    assert [name for name in bodies if name != "w"] == ["b", "c", "d"]


def test_a_pod_ends_after_its_last_call(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, max_calls=2) as running:
        inbox.put(how("a", 1), how("b", 2), how("c", 3))
        assert running.wait() == EXIT_REPORTED
    assert sorted(said(report).split()[0] for report in inbox.reports()) == ["a", "b"]


def test_a_draining_pod_does_what_it_has_and_ends(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("sleeps 0.5", 1), how("b", 2), drain=True)
        inbox.wait_for_reports(2)
        inbox.put(drain=True)
        assert running.wait() == EXIT_REPORTED


def test_a_terminated_pod_cancels_and_reports_only_outcomes(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, EARLY, concurrency=2) as running:
        inbox.put(how("cleans up", 1), how("waits", 2), how("never", 3))
        inbox.wait_for_begin(2)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == EXIT_TERMINATED
    assert [said(report) for report in inbox.reports()] == ["cleaned up"]


def test_code_that_has_changed_is_not_executed(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("a", 1, sourceDigest="0" * 32))
        (report,) = inbox.wait_for_reports(1)
        running.drain()
    assert report["error"]["stall"] == "CodeChanged"
    assert "body" not in running.out


def test_a_module_that_does_not_import_is_each_calls_failure(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, "1 / 0", inbox) as running:
        inbox.put(how("a", 1))
        (report,) = inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert report["error"]["type"] == "LoadFailed"
    assert "ZeroDivisionError" in report["error"]["message"]


def test_a_module_that_ends_the_process_is_a_failure_to_load(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, "import os; os._exit(4)", inbox) as running:
        inbox.put(how("a", 1))
        (report,) = inbox.wait_for_reports(1)
        assert running.drain() == EXIT_REPORTED
    assert report["error"]["type"] == "LoadFailed"


def test_each_line_says_which_call_it_is_of(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox) as running:
        inbox.put(how("a", 1), how("b", 2))
        inbox.wait_for_reports(2)
        running.drain()
    lines = [line for line in running.out.splitlines() if "body" in line]
    assert ["daily-0000000000000001" in line for line in lines] == [True, False]
    assert '"appTask":"daily-0000000000000002"' in lines[1]


def test_a_pod_that_is_not_told_its_work_says_so(pod: PodProcess, inbox: Inbox) -> None:
    with worker(pod, APP, inbox, mode="thread") as running:
        assert running.wait() == EXIT_NO_CALL
    assert "the settings of this warm pod are missing or invalid" in running.err
