"""A task pod as a whole: a process, the files that kubelet gives it, and the one patch that it sends."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.pods import PodProcess, call
from tests.support.wire_server import Handler, Request, Step, WireServer, answer, refuse

from application_sdk.engines.kubernetes.source import source_digest
from application_sdk.wire.logs import LOG_TAIL_BYTES, plain
from application_sdk.wire.pod import (
    EXIT_FENCED,
    EXIT_NO_CALL,
    EXIT_REPORTED,
    EXIT_TERMINATED,
    REFUSED_NOT_CURRENT,
)

HEADER = """
import asyncio, sys, threading, time
from application_sdk.app import App, task
from application_sdk.contracts import HeartbeatDetails, Input, Output

class Given(Input):
    name: str = "World"

class Made(Output):
    text: str | None = "unset"

class Position(HeartbeatDetails):
    row: int = 0
    note: str | None = None

class Subject(App):
    async def run(self, input: Given) -> Made:
        return await self.work(input)

    @task
"""
GREET = f"""{HEADER}
    async def work(self, input: Given) -> Made:
        return Made(text=f"Hello, {{input.name}}!")
"""
FENCED = refuse(403, "Forbidden", f"ValidatingAdmissionPolicy 'x' denied request: {REFUSED_NOT_CURRENT}")


def reported(request: Request) -> dict[str, Any]:
    return {operation["path"].rpartition("/")[2]: operation.get("value") for operation in request.json}


def test_a_task_is_run_and_reported_in_one_request(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(input={"name": "Ada"}), app=GREET)
    pod.environ["APPRUN_NODE_NAME"] = "node1"
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    (request,) = server.requests
    assert request.method == "PATCH"
    assert request.target.endswith("/namespaces/ns/apptasks/daily-0123456789abcdef/status")
    report = reported(request)
    assert report["phase"] == "Succeeded"
    assert report["output"] == {"text": "Hello, Ada!"}
    assert report["node"] == "node1"
    assert report["startedAt"] <= report["finishedAt"]


def test_a_failed_attempt_is_reported_and_no_failure_of_the_pod(pod: PodProcess, server: WireServer) -> None:
    pod.write(
        call(attempt=2), app=f'{HEADER}\n    async def work(self, input: Given) -> Made:\n        raise OSError("x")'
    )
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    report = reported(server.requests[0])
    assert "phase" not in report
    error = report["error"]
    assert (error["type"], error["message"], error["attempt"], error["retryable"]) == ("OSError", "x", 2, True)
    assert 'app.py", line' in error["traceback"]
    assert "OSError: x" in ended.stderr


@pytest.mark.slow
def test_a_task_is_never_executed_with_other_files_than_its_run_began_with(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(sourceDigest="0" * 32), app=f"print('imported')\n{GREET}")
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    error = reported(server.requests[0])["error"]
    assert (error["type"], error["stall"], error["attempt"]) == ("CodeChanged", "CodeChanged", 1)
    assert "Put it back" in error["message"]
    assert "imported" not in ended.stdout
    server.requests.clear()
    pod.write(call(sourceDigest=source_digest(pod.source)))
    assert pod.run().returncode == EXIT_REPORTED
    assert reported(server.requests[0])["phase"] == "Succeeded"


def test_a_pod_without_a_call_says_so(pod: PodProcess, server: WireServer) -> None:
    ended = pod.run()
    assert ended.returncode == EXIT_NO_CALL
    assert "no readable call" in ended.stderr
    assert server.requests == []


def test_a_module_that_does_not_import_is_reported_with_the_users_traceback(
    pod: PodProcess, server: WireServer
) -> None:
    pod.write(call(), app="import helper", helper="\n\n1 / 0")
    assert pod.run().returncode == EXIT_REPORTED
    error = reported(server.requests[0])["error"]
    assert error["type"] == "LoadFailed"
    assert "ZeroDivisionError" in error["message"]
    assert 'helper.py", line 3' in error["traceback"]
    assert "importlib" not in error["traceback"]


def test_a_task_that_was_renamed_is_a_permanent_failure(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(task="wrok"), app=GREET)
    assert pod.run().returncode == EXIT_REPORTED
    error = reported(server.requests[0])["error"]
    assert (error["type"], error["retryable"]) == ("TaskNotFound", False)
    assert "'wrok'" in error["message"]


def test_a_stray_thread_does_not_hold_up_the_end(pod: PodProcess, server: WireServer) -> None:
    body = """
    async def work(self, input: Given) -> Made:
        threading.Thread(target=time.sleep, args=(600,)).start()
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
        return Made()
"""
    pod.write(call(), app=HEADER + body)
    assert pod.run().returncode == EXIT_REPORTED


def test_a_pod_that_was_replaced_stops_without_another_word(pod: PodProcess, server: WireServer) -> None:
    server.script = [FENCED]
    pod.write(call(), app=GREET)
    ended = pod.run()
    assert ended.returncode == EXIT_FENCED
    assert len(server.requests) == 1
    assert REFUSED_NOT_CURRENT in ended.stderr


WAIT = f"""{HEADER}
    async def work(self, input: Given) -> Made:
        self.task_context.heartbeat(Position(row=7))
        print("working", flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            print("cleaned up", flush=True)
        return Made()
"""


def test_sigterm_lets_the_body_clean_up_and_reports_nothing(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(), app=WAIT)
    with pod.start() as process:
        assert process.stdout is not None
        assert plain(process.stdout.readline()) == "working\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == EXIT_TERMINATED, err
    assert plain(out) == "cleaned up\n"
    assert [reported(request) for request in server.requests] == [{"heartbeat": {"row": 7, "note": None}}]


def test_sigterm_while_the_module_is_imported_ends_the_pod(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(), app="import time\nprint('importing', flush=True)\ntime.sleep(600)")
    with pod.start() as process:
        assert process.stdout is not None
        assert plain(process.stdout.readline()) == "importing\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == EXIT_TERMINATED
    assert server.requests == []


def test_sigterm_does_not_stop_a_report_that_cannot_get_through_yet(pod: PodProcess, server: WireServer) -> None:
    refused_once = threading.Event()

    def busy(handler: Handler, request: Request) -> None:
        refuse(503, "ServiceUnavailable", "starting")(handler, request)
        refused_once.set()

    server.script = [busy, busy, busy]
    pod.write(call(), app=GREET)
    with pod.start() as process:
        assert refused_once.wait(60)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == EXIT_REPORTED
    assert reported(server.requests[-1])["phase"] == "Succeeded"


def test_a_replaced_pod_learns_it_from_its_heartbeat_and_stops_working(pod: PodProcess, server: WireServer) -> None:
    server.script = [FENCED]
    pod.write(call(), app=WAIT)
    ended = pod.run()
    assert ended.returncode == EXIT_FENCED, ended.stderr
    assert "cleaned up" in ended.stdout
    assert len(server.requests) == 1


def test_details_that_were_not_written_yet_come_with_the_report(pod: PodProcess, server: WireServer) -> None:
    body = """
    async def work(self, input: Given) -> Made:
        self.task_context.heartbeat(Position(row=1))
        while not self.task_context.get_heartbeat_details(Position).note:
            await asyncio.sleep(0.01)
            self.task_context.heartbeat(Position(row=2, note="second"))
        self.task_context.progress(done=2, total=2)
        return Made()
"""
    written = threading.Event()

    def first(handler: Handler, request: Request) -> None:
        answer()(handler, request)
        written.set()

    server.script = [first]
    pod.write(call(), app=HEADER + body)
    assert pod.run().returncode == EXIT_REPORTED
    assert written.is_set()
    report = reported(server.requests[-1])
    assert report["progress"] == {"done": 2, "total": 2}


def test_a_body_that_gives_no_sign_of_life_leaves_a_traceback(pod: PodProcess, server: WireServer) -> None:
    body = """
    async def work(self, input: Given) -> Made:
        time.sleep(600)
        return Made()
"""
    policy = call()["policy"] | {"heartbeatTimeoutSeconds": 0.2, "autoHeartbeatSeconds": 0.02}
    pod.write(call(policy=policy), app=HEADER + body)
    ended = pod.run()
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "in work" in ended.stderr
    assert server.requests == []


@pytest.mark.slow
def test_an_api_server_that_is_away_is_waited_for(pod: PodProcess, server: WireServer) -> None:
    away: list[Step] = [refuse(503, "ServiceUnavailable", "starting"), refuse(401, "Unauthorized", "no")]
    server.script = away
    pod.write(call(), app=GREET)
    assert pod.run().returncode == EXIT_REPORTED
    assert len(server.requests) == 3


NOISY = f"""{HEADER}
    async def work(self, input: Given) -> Made:
        self.logger.info("order %d", 42, extra={{"customer": "ada"}})
        print("half a ", end="")
        print("line")
        sys.stderr.write("to stderr\\n")
        raise OSError("disk")
"""


def test_lines_say_which_attempt_they_are_of_and_who_wrote_them(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(attempt=3), app=NOISY)
    ended = pod.run()
    lines = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    about = {"namespace": "ns", "run": "daily", "role": "task", "task": "work", "attempt": 3}
    assert all(about.items() <= line.items() for line in lines)
    said = {(line["source"], line["message"]) for line in lines}
    assert {("app", "order 42"), ("stdout", "half a line"), ("stderr", "to stderr")} <= said
    assert ("apprun", "task daily-0123456789abcdef, attempt 3") in said
    assert next(line for line in lines if line["source"] == "app")["customer"] == "ada"


def test_as_text_the_log_is_for_people(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(), app=NOISY)
    pod.environ["APPRUN_LOG_FORMAT"] = "text"
    ended = pod.run()
    assert ended.stdout == "half a line\n"
    assert "INFO subject: order 42" in ended.stderr


def test_a_failed_attempt_reports_the_end_of_its_log(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(attempt=2), app=NOISY)
    pod.run()
    (request,) = server.requests
    log = reported(request)["log"]
    assert log["attempt"] == 2
    assert "half a line\nto stderr" in log["tail"]
    assert "INFO subject: order 42" in log["tail"]
    assert "Traceback" not in log["tail"], "the error has it already"


def test_the_log_of_a_noisy_failure_is_cut_at_its_beginning(pod: PodProcess, server: WireServer) -> None:
    body = "        for i in range(5000): print('line', i)\n        raise OSError('x')"
    pod.write(call(), app=f"{HEADER}\n    async def work(self, input: Given) -> Made:\n{body}")
    pod.run()
    tail = reported(server.requests[0])["log"]["tail"]
    assert tail.endswith("line 4998\nline 4999")
    assert tail.startswith("line 4")
    assert LOG_TAIL_BYTES * 0.9 < len(tail) <= LOG_TAIL_BYTES


def test_an_attempt_that_succeeds_reports_no_log(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(), app=GREET)
    pod.run()
    assert "log" not in reported(server.requests[0])


SECRETIVE = f"""{HEADER}
    async def work(self, input: Given) -> Made:
        token = await self.context.get_secret("token")
        self.logger.warning("using %s", token)
        print("printed", token)
        self.task_context.progress(message=f"with {{token}}")
        raise OSError(f"refused {{token}}")
"""


def test_no_secret_is_in_the_log_nor_in_the_report(pod: PodProcess, server: WireServer) -> None:
    pod.write(call(), app=SECRETIVE)
    secrets = pod.directory / "secrets"
    (secrets / "token").mkdir(parents=True)
    (secrets / "token" / "value").write_text("correct-horse-battery")
    pod.environ["APPRUN_SECRETS_DIR"] = str(secrets)
    ended = pod.run()
    everything = ended.stdout + ended.stderr + "".join(json.dumps(request.json) for request in server.requests)
    assert "printed [redacted]" in ended.stdout
    assert "refused [redacted]" in everything
    assert "correct-horse" not in everything


FILES = """
import os
from pathlib import Path
from application_sdk.app import App, task
from application_sdk.contracts import FileReference, Input, Output

class Given(Input):
    file: FileReference = FileReference()

class Made(Output):
    file: FileReference = FileReference()
    text: str = ""

class Subject(App):
    async def run(self, input: Given) -> Made:
        return await self.work(input)

    @task
    def work(self, input: Given) -> Made:
        if input.file.is_durable:
            return Made(text=input.file.path.read_text(), file=input.file)
        Path(os.environ["TMPDIR"], "a.csv").write_text("1,2")
        return Made(file=FileReference.from_local(Path(os.environ["TMPDIR"], "a.csv")))
"""


@pytest.mark.slow
def test_file_is_stored_before_the_report_and_there_for_the_next_pod(
    pod: PodProcess, server: WireServer, tmp_path: Path
) -> None:
    pod.environ |= {"APPRUN_STORE_URL": (tmp_path / "store").as_uri(), "TMPDIR": str(tmp_path)}
    pod.write(call(), app=FILES)

    def taken(handler: Handler, request: Request) -> None:
        stored.extend(place for place in (tmp_path / "store").rglob("*") if place.is_file())
        answer(200, {})(handler, request)

    stored: list[Path] = []
    server.script = [taken]
    assert pod.run().returncode == EXIT_REPORTED
    made = reported(server.requests[-1])["output"]["file"]
    assert [place.read_text() for place in stored] == ["1,2"]
    assert (made["storage_path"].split("/")[:4], made["local_path"]) == (["transient", "ns", "c", "run-uid"], None)
    pod.write(call(input={"file": made}), app=FILES)
    assert pod.run().returncode == EXIT_REPORTED
    assert reported(server.requests[-1])["output"] == {"file": made, "text": "1,2"}


def test_a_restored_run_stores_files_where_it_always_did(pod: PodProcess, server: WireServer, tmp_path: Path) -> None:
    pod.environ |= {"APPRUN_STORE_URL": (tmp_path / "store").as_uri(), "TMPDIR": str(tmp_path)}
    pod.write(call(originUid="uid-before"), app=FILES)
    assert pod.run().returncode == EXIT_REPORTED
    made = reported(server.requests[-1])["output"]["file"]
    assert made["storage_path"].split("/")[:4] == ["transient", "ns", "c", "uid-before"]


def test_task_that_returns_a_file_where_no_store_is_named_is_told_how_to_name_one(
    pod: PodProcess, server: WireServer, tmp_path: Path
) -> None:
    pod.environ["TMPDIR"] = str(tmp_path)
    pod.write(call(), app=FILES)
    assert pod.run().returncode == EXIT_REPORTED
    error = reported(server.requests[-1])["error"]
    assert (error["type"], error["retryable"]) == ("StoreNotConfiguredError", False)
    assert "set spec.storage of the App" in error["message"]
