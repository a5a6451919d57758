"""No verb sends a terminal what somebody else has written for it: control characters are shown."""

from __future__ import annotations

import copy
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cluster_wire import NAMESPACED, FakeCluster
from tests.support.terminal import BIN, HOSTILE, controls
from tests.support.wire_server import refuse
from tests.unit.cli.conftest import Command, Result
from tests.unit.cli.test_doctor import OURS, operator

from application_sdk.wire.printable import is_printable, printable, printable_line

APP = f"""
import sys
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

HOSTILE = {HOSTILE[:-1]!r}
print("module", HOSTILE)


class Given(Input):
    fails: bool = True


class Said(Output):
    text: str = ""


class HostileApp(App):
    @task(retry_max_attempts=2, retry_max_interval_seconds=0.01)
    async def work(self, input: Given) -> Said:
        print("task", HOSTILE)
        self.task_context.progress(1, 2, "progress " + HOSTILE)
        if input.fails:
            raise ValueError("error " + HOSTILE)
        return Said(text=HOSTILE)

    async def run(self, input: Given) -> Said:
        print("route", HOSTILE)
        print("route", HOSTILE, file=sys.stderr)
        return await self.work(input)
"""
FORMATS = ("text", "wide", "json", "yaml")


@pytest.fixture
def app(home: Path) -> Path:
    sys.modules.pop("hostile", None)  # so that it is imported, and prints, in each test
    (home / "hostile.py").write_text(APP, "utf-8")
    return home / "hostile.py"


@pytest.fixture
def hostile(cluster: FakeCluster) -> FakeCluster:
    """A cluster on which each text that anybody may write is hostile."""
    error = {"type": f"Error{HOSTILE}", "message": f"message {HOSTILE}\n{HOSTILE}", "traceback": f"trace {HOSTILE}\n"}
    cluster.run("r1", phase="Failed", reason=HOSTILE, message=HOSTILE, error=error, output={HOSTILE: HOSTILE},
                startedAt="2026-07-01T10:00:00Z", finishedAt="2026-07-01T10:00:04Z", tasks={"total": 3, "failed": 1},
                conditions=[{"type": "Stalled", "status": "True", "reason": HOSTILE, "message": HOSTILE}])  # fmt: skip
    cluster.objects[f"{NAMESPACED}/appruns/r1"]["spec"]["input"] = {"name": HOSTILE, HOSTILE: 1}
    cluster.objects[f"{NAMESPACED}/appruns/r1"]["status"]["app"] |= {"name": HOSTILE, "entry": HOSTILE}
    cluster.run("r2", phase="Running", message=HOSTILE, reason=HOSTILE)
    for run in ("r1", "r2"):
        cluster.task(run, "driver", "driver", {"role": "driver", "key": "driver"}, phase="Active", message=HOSTILE)
        ended = {"attempt": 1, "reason": HOSTILE, "message": HOSTILE, "budget": HOSTILE, "node": HOSTILE}
        failed = cluster.task(run, "a", f"task{HOSTILE}", {"input": {"x": HOSTILE}}, phase="Failed", attempt=2,
                              error=error, attempts=[ended], message=HOSTILE, log={"attempt": 1, "tail": HOSTILE},
                              progress={"done": 1, "total": 2, "message": HOSTILE}, node=HOSTILE)  # fmt: skip
        lines = {"message": HOSTILE, "level": HOSTILE, "logger": HOSTILE, "extra": HOSTILE, "exception": HOSTILE}
        log = f"2026-07-01T10:00:01Z {HOSTILE[:-1]}\n2026-07-01T10:00:02Z {json.dumps(lines)}\n"
        pod = cluster.pod(failed, 2, "Running", log=log, reason=HOSTILE, message=HOSTILE)
        pod["spec"]["nodeName"] = HOSTILE
        pod["metadata"]["labels"]["apprun.dev/task"] = HOSTILE
        waiting = cluster.task(run, "b", "waits", phase="Waiting", message=HOSTILE, reason=HOSTILE)
        cluster.pod(waiting, 1, "Pending", conditions=[
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": HOSTILE}
        ])  # fmt: skip
    cluster.put(f"{NAMESPACED}/apps/hello", {"spec": {"entry": HOSTILE}, "status": {"message": HOSTILE}})
    return cluster


def assert_shown(done: Result) -> None:
    assert controls(done.out) == []
    assert controls(done.err) == []


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "verb",
    [("list",), ("list", "-A"), ("show", "r1"), ("show", "r2"), ("describe", "r1"), ("describe", "r2"), ("logs", "r1"),
     ("logs", "r2"), ("watch", "r1"), ("cancel", "r1"), ("cancel", "r2"), ("suspend", "r2"), ("resume", "r1"),
     ("resume", "r2"), ("export", "r1"), ("doctor", "--no-pod"), ("submit", "hello", "--dry-run")],
    ids=" ".join,
)  # fmt: skip
def test_verb_on_a_cluster_shows_control_characters(
    apprun: Command, hostile: FakeCluster, verb: tuple[str, ...], form: str
) -> None:
    place = () if verb[0] in ("doctor", "submit") or "-A" in verb else ("--cluster",)
    options = () if verb[0] == "export" or (verb[0] == "logs" and form == "yaml") else ("-o", form)
    if form == "wide" and verb[0] not in ("list", "show", "logs"):
        options = ()
    done = apprun(*verb, *place, *options)
    assert done.out or done.err
    assert_shown(done)


def test_texts_are_shown_and_not_dropped(apprun: Command, hostile: FakeCluster) -> None:
    assert "\\u001b]52;c;aGk=\\u0007" in apprun("show", "r1", "--cluster").out
    assert "\\u202egnirts" in apprun("logs", "r1", "--cluster").out


def test_programs_get_the_text_as_it_was(apprun: Command, hostile: FakeCluster) -> None:
    assert apprun("show", "r1", "--cluster", "-o", "json").json["message"] == HOSTILE
    plain = HOSTILE[:-1]  # YAML has no escape for a lone surrogate
    hostile.objects[f"{NAMESPACED}/appruns/r1"]["status"] |= {"message": plain, "reason": plain, "error": None}
    assert yaml.safe_load(apprun("show", "r1", "--cluster", "-o", "yaml").out)["message"] == plain


@pytest.mark.parametrize("verb", [("show", "r1"), ("list",), ("logs", "r1"), ("cancel", "r2")], ids=" ".join)
def test_answer_of_the_server_is_shown(apprun: Command, hostile: FakeCluster, verb: tuple[str, ...]) -> None:
    for method, path in (("GET", "appruns"), ("GET", "appruns/r1"), ("PATCH", "appruns/r2")):
        hostile.refusals[method, f"{NAMESPACED}/{path}"] = refuse(403, "Forbidden", f"no {HOSTILE[:-1]}")
    done = apprun(*verb, "--cluster")
    assert done.code != 0
    assert_shown(done)


def test_doctor_shows_what_an_installation_says(apprun: Command, cluster: FakeCluster) -> None:
    found = operator(cluster)
    found["metadata"]["labels"] = {**OURS, "app.kubernetes.io/component": "operator",
                                   "app.kubernetes.io/version": HOSTILE}  # fmt: skip
    found["status"] = {"readyReplicas": 0, "conditions": [{"type": "Available", "message": HOSTILE}]}
    cluster.version = {"major": "1", "minor": "34", "gitVersion": f"v1.34{HOSTILE[:-1]}"}
    assert_shown(apprun("doctor", "--no-pod"))


@pytest.mark.slow
def test_local_run_shows_control_characters(apprun: Command, app: Path) -> None:
    for mode in ((), ("--in-process",)):
        name = f"o{len(mode)}"
        done = apprun("run", str(app), "--name", name, *mode)
        assert done.code == 1
        assert "\\u001b]52" in done.err
        assert_shown(done)
        for verb in (("show", name), ("logs", name), ("describe", name), ("list",), ("watch", name), ("export", name)):
            assert_shown(apprun(*verb))
            if verb[0] != "export":
                assert_shown(apprun(*verb, "-o", "json"))
    done = apprun("run", str(app), "--name", "well", "-i", '{"fails": false}')
    assert done.code == 0
    assert json.loads(done.out)["text"] == HOSTILE[:-1]
    assert_shown(done)


@pytest.mark.parametrize("verb", ["check", "manifest", "deploy"])
def test_prints_of_an_imported_module_are_shown(apprun: Command, app: Path, verb: str) -> None:
    done = apprun(verb, str(app), *(("-o", "yaml") if verb == "deploy" else ()))
    assert done.code == 0
    assert "\\u001b]52" in done.err
    assert_shown(done)


def test_bad_module_is_told_with_control_characters_shown(apprun: Command, home: Path) -> None:
    (home / "bad.py").write_text(f"raise ValueError({HOSTILE[:-1]!r})\n", "utf-8")
    (home / "given.json").write_text('{"name": ' + HOSTILE[:-1], "utf-8")
    assert_shown(apprun("check", str(home / "bad.py")))
    assert_shown(apprun("submit", "hello", "-i", f"@{home / 'given.json'}", "--dry-run"))


def test_a_bug_report_shows_control_characters(apprun: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("application_sdk.cli.commands.list_show.source_of_all", fail)
    done = apprun("list")
    assert "fault of apprun itself" in done.err
    assert_shown(done)


def test_names_with_control_characters_complete_nothing(hostile: FakeCluster, home: Path) -> None:
    from application_sdk.cli.kubectl_completion import candidates

    item = copy.deepcopy(hostile.objects[f"{NAMESPACED}/appruns/r1"])
    item["metadata"]["name"] = f"r3{HOSTILE[:-1]}"
    hostile.put(f"{NAMESPACED}/appruns/r3", item)
    completions = candidates(["show", "r"])
    assert "r1" in completions
    assert controls(completions) == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "watch"])
def test_live_table_shows_control_characters(app: Path, environment: dict[str, str], verb: str) -> None:
    """On a real terminal, where a table redraws itself: it moves the cursor, and nothing else gets there."""
    command = [str(BIN / "apprun")]
    if verb == "watch":
        subprocess.run([*command, "run", str(app), "--name", "t1"], env=environment, check=False, capture_output=True)
    arguments = ["run", str(app), "--name", "t1"] if verb == "run" else ["watch", "t1"]
    master, slave = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while block := os.read(master, 65536):
                chunks.append(block)
        except OSError:
            pass  # The terminal's other end is closed.

    reader = threading.Thread(target=read)
    reader.start()
    environment = {**environment, "TERM": "xterm"}
    done = subprocess.run([*command, *arguments], env=environment, stdin=slave, stdout=slave, stderr=slave, check=False)
    os.close(slave)
    reader.join(30)
    os.close(master)
    text = b"".join(chunks).decode("utf-8")
    assert done.returncode == 1, text
    assert "\\u001b]52" in text
    for sent in ("\x1b]", "\x07", "\x08", "\x7f", "\x9b", "\x85", "\u202e", "\u2066", "\x1b[2J"):
        assert sent not in text, sent


@given(st.text(st.characters()))
def test_any_text_becomes_printable(text: str) -> None:
    shown = printable_line(text)
    assert is_printable(shown)
    assert controls(shown) == []
    assert set(controls(printable(text))) <= {"\t"}
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs", "M"))))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == printable_line(text) == text
