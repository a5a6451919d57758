"""An inspection pod as a whole: a process that imports an app and says in one request what it contains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.pods import RETRY, PodProcess, call
from tests.support.wire_server import Request, WireServer

from application_sdk.engines.kubernetes.source import source_digest
from application_sdk.wire.pod import EXIT_REPORTED

APP = """
from application_sdk.app import App, entrypoint, task
from application_sdk.contracts import Input, Output

class Given(Input):
    name: str = "World"

class Made(Output):
    text: str

class Subject(App):
    version = "3.1"

    @task
    async def work(self, input: Given) -> Made:
        '''Greets somebody.'''
        return Made(text=input.name)

    @entrypoint(default=True)
    async def greet(self, input: Given) -> Made:
        return await self.work(input)

    @entrypoint
    async def other(self, input: Given) -> Made:
        return await self.work(input)
"""


def inspection(published: Any = None, timeout: float = 60) -> dict[str, Any]:
    given = {} if published is None else {"published": published}
    return call(role="inspect", run="", appTask="shop-inspect-01234567", task="inspect", input=given,
                policy={"timeoutSeconds": timeout, "retry": RETRY})  # fmt: skip


def report_of(pod: PodProcess, server: WireServer) -> dict[str, Any]:
    ended = pod.run()
    assert ended.returncode == EXIT_REPORTED, ended.stderr
    (request,) = server.requests
    return reported(request)


def reported(request: Request) -> dict[str, Any]:
    return {operation["path"].rpartition("/")[2]: operation.get("value") for operation in request.json}


def test_it_reports_entry_points_tasks_schemas_and_the_sdk(pod: PodProcess, server: WireServer) -> None:
    pod.write(inspection(), app=APP)
    found = report_of(pod, server)["output"]
    assert (found["app"], found["version"], found["defaultEntrypoint"]) == ("subject", "3.1", "greet")
    assert re.match(r"\d+\.\d+", found["sdkVersion"])
    assert found["sourceDigest"] == source_digest(pod.source)
    assert found["entrypoints"] == [
        {"name": "greet", "default": True, "takes": ["name: str = 'World'"], "returns": ["text: str"]},
        {"name": "other", "takes": ["name: str = 'World'"], "returns": ["text: str"]},
    ]
    assert found["tasks"][0]["description"] == "Greets somebody."
    assert found["schemas"]["tasks"]["work"]["output"]["required"] == ["text"]
    assert found["changes"] == []


def test_it_names_each_change_that_breaks_what_was_published(pod: PodProcess, server: WireServer) -> None:
    taken = {"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}}}
    before = {"input": taken, "output": {}}
    schemas = {"entrypoints": {"greet": before, "gone": before}, "tasks": {}}
    pod.write(inspection({"defaultEntrypoint": "greet", "schemas": schemas}), app=APP)
    changes = report_of(pod, server)["output"]["changes"]
    assert any(change.startswith("entry point 'gone' is gone or renamed") for change in changes)
    assert any(change.startswith("entry point 'greet', input: city: is gone") for change in changes)


def test_an_import_that_fails_is_reported_once_with_its_traceback(pod: PodProcess, server: WireServer) -> None:
    pod.write(inspection(), app="print('begun')\nimport helpers\n", helpers="{}['HOST']\n")
    report = report_of(pod, server)
    assert report["error"]["type"] == "LoadFailed"
    assert report["error"]["retryable"] is False
    assert "helpers.py" in report["error"]["traceback"]
    assert "begun" in report["log"]["tail"]
    assert "phase" not in report


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)\n", "raise KeyboardInterrupt\n"])
def test_a_module_that_exits_is_one_that_cant_be_imported(pod: PodProcess, server: WireServer, code: str) -> None:
    pod.write(inspection(), app=code)
    if "Keyboard" in code:
        assert pod.run().returncode != EXIT_REPORTED
        return
    assert report_of(pod, server)["error"]["type"] == "LoadFailed"


@pytest.mark.slow
def test_an_import_that_never_ends_is_given_up_and_shows_where_it_is(pod: PodProcess, server: WireServer) -> None:
    pod.write(inspection(timeout=1), app="import time\n\ndef wait():\n    time.sleep(300)\n\nwait()\n")
    error = report_of(pod, server)["error"]
    assert error["type"] == "TimedOut"
    assert "takes longer than 1 s" in error["message"]
    assert "in wait" in error["traceback"]


def test_source_is_known_by_names_and_contents_and_by_nothing_else(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "app.py").write_text("a")
        (folder / "b.py").write_text("b")
    (second / "..data").mkdir()
    assert source_digest(first) == source_digest(second)
    (second / "b.py").write_text("c")
    assert source_digest(first) != source_digest(second)
    (second / "b.py").unlink()
    (second / "a").write_text("pp.py1:a")
    assert source_digest(first) != source_digest(second)
    assert source_digest(tmp_path / "nowhere") == ""
    empty = tmp_path / "empty"
    empty.mkdir()
    assert source_digest(empty) != ""
