"""What the commands print and how they exit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.conftest import ORDERS, Command

from application_sdk.engines.local.lock import RunLock
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import RunRequest, create_run
from application_sdk.engines.local.source import find_source

SECRETIVE = """
from application_sdk.app import App, NonRetryableError, task
from application_sdk.contracts import Input, Output

class Nothing(Input):
    pass

class Said(Output):
    text: str = ""

class Secretive(App):
    @task
    async def work(self, input: Nothing) -> Said:
        token = await self.context.get_secret("token")
        self.logger.warning("using %s", token)
        print("printed", token)
        raise NonRetryableError(f"refused {token}")

    async def run(self, input: Nothing) -> Said:
        return await self.work(input)
"""


def test_run_prints_the_output_alone_on_standard_output(apprun: Command) -> None:
    done = apprun.run("run")
    assert (done.code, done.json) == (0, {"said": "FIRST BRANCH 0 BRANCH 1 BRANCH 2 LAST"})
    assert "step: done" in done.err
    assert "o1 succeeded" in done.err


def test_run_as_json_tells_all_of_the_run_and_nothing_on_the_way(apprun: Command) -> None:
    done = apprun.run("run", "-o", "json")
    assert done.err == ""
    assert {name: done.json[name] for name in ("run", "phase", "app", "entrypoint", "error")} == {
        "run": "o1",
        "phase": "Succeeded",
        "app": "orders",
        "entrypoint": "run",
        "error": None,
    }


def test_a_failed_run_exits_1_with_traceback_and_hint(apprun: Command) -> None:
    done = apprun.run("needs-permission")
    assert (done.code, done.out) == (1, "")
    assert 'raise NonRetryableError("nobody has allowed it")' in done.err
    assert "apprun retry o1" in done.err
    assert "site-packages" not in done.err


def test_retry_goes_on_from_what_failed(apprun: Command) -> None:
    apprun.run("needs-permission")
    Path(f"{apprun.journal}.allowed").touch()
    done = apprun("retry", "o1", "--in-process")
    assert (done.code, done.json) == (0, {"said": "allowed"})
    assert "o1: " in done.err
    assert apprun.journal.read_text().splitlines().count("beside") == 1


def test_resume_of_a_finished_run_prints_its_output_again(apprun: Command) -> None:
    first = apprun.run("run")
    before = apprun.journal.read_text()
    assert (apprun("resume", "o1").out, apprun.journal.read_text()) == (first.out, before)


def test_a_run_at_work_is_not_resumed_again(apprun: Command, home: Path) -> None:
    apprun.run("needs-permission")
    with RunLock("o1", home / "home" / "runs" / "o1" / "lock"):
        done = apprun("retry", "o1", "--in-process")
    assert done.code == 5
    assert "is being executed by process" in done.err


def test_cancel_of_a_run_that_nobody_executes_lets_it_clean_up(apprun: Command, home: Path) -> None:
    source = find_source(str(ORDERS), home)
    create_run(RunStore(home / "home"), "o1", RunRequest(source, "orders", "waiting", {"journal": str(apprun.journal)}))
    done = apprun("cancel", "o1")
    assert (done.code, "o1 was cancelled" in done.err) == (0, True)
    assert apprun("show", "o1", "-o", "json").json["phase"] == "Cancelled"


def test_cancel_of_a_run_that_is_over_says_so(apprun: Command) -> None:
    apprun.run("run")
    assert apprun("cancel", "o1").code == 5


def test_cancel_by_force_needs_no_app(apprun: Command, home: Path) -> None:
    apprun.run("needs-permission")
    _reopen(home / "home" / "runs" / "o1" / "ledger.db", entry="gone:Gone")
    assert apprun("cancel", "o1").code == 3
    done = apprun("cancel", "o1", "--force")
    assert (done.code, apprun("show", "o1", "-o", "json").json["phase"]) == (0, "Cancelled")


def test_list_is_newest_first_despite_a_damaged_run(apprun: Command, home: Path) -> None:
    apprun.run("run")
    apprun("run", str(ORDERS), "--name", "o2", "-i", json.dumps({"journal": str(apprun.journal)}), "--in-process")
    broken = home / "home" / "runs" / "o3"
    broken.mkdir()
    (broken / "ledger.db").write_bytes(b"nonsense" * 1000)
    listed = apprun("runs")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["RUN", "o2", "o1"]
    assert "o3" in listed.err
    assert [run["run"] for run in apprun("runs", "-o", "json").json] == ["o2", "o1"]


def test_show_has_checkpoints_in_order_and_failed_attempts(apprun: Command) -> None:
    apprun.run("refused")
    shown = apprun("show", "o1")
    assert "└─ refuse" in shown.out
    assert "not today (charged to the task)" in shown.out
    (call,) = apprun("show", "o1", "-o", "json").json["calls"]
    assert (call["task"], call["outcome"], call["sequence"]) == ("refuse", "Failed", 0)
    assert [attempt["reason"] for attempt in call["attempts"]] == ["ValueError", "ValueError"]


def test_logs_hold_what_each_attempt_has_printed(apprun: Command) -> None:
    given = json.dumps({"journal": str(apprun.journal)})
    apprun("run", str(ORDERS), "-e", "crashing", "--name", "o1", "-i", given)
    lines = apprun("logs", "o1", "crash").out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["about to crash"] * 3
    assert apprun("logs", "o1", "--attempt", "2").out.splitlines() == lines[1:2]
    assert [entry["attempt"] for entry in apprun("logs", "o1", "-o", "json").json] == [1, 2, 3]


def test_check_prints_contracts_and_executes_nothing(apprun: Command, home: Path) -> None:
    done = apprun("check", f"{ORDERS}:Orders")
    assert done.code == 0
    assert "task hang  (1 attempt, 0.2 s each)" in done.out
    assert "journal: str" in done.out
    assert not (home / "home").exists()


def test_check_replays_exported_runs_and_names_what_changed(apprun: Command, home: Path) -> None:
    apprun.run("run")
    assert apprun("export", "o1", "--to", "ledger.json").code == 0
    assert apprun("check", str(ORDERS), "--replay", "ledger.json").code == 0
    changed = home / "changed_orders.py"
    changed.write_text(ORDERS.read_text().replace('step="last"', 'step="final"'))
    done = apprun("check", f"{changed}:Orders", "--replay", "ledger.json")
    assert done.code == 1
    assert 'input field step: "last" → "final"' in done.out


def test_manifest_of_a_version_that_breaks_lists_each_reason(apprun: Command, home: Path) -> None:
    Path("old.json").write_text(apprun("manifest", str(ORDERS)).out)
    assert apprun("manifest", str(ORDERS), "--check", "old.json").code == 0
    changed = home / "stricter_orders.py"
    changed.write_text(ORDERS.read_text().replace("count: int = 3", "count: int").replace("fall_silent", "sulk"))
    done = apprun("manifest", f"{changed}:Orders", "--check", "old.json")
    assert done.code == 1
    assert "entry point 'run', input: count" in done.out
    assert "task 'fall_silent' is gone or renamed" in done.out
    assert apprun("manifest", f"{changed}:Orders", "--check", "old.json", "-o", "json").json["compatible"] is False


def test_version_and_help(apprun: Command) -> None:
    assert apprun("--version").out.startswith("apprun ")
    assert "Durable Python apps" in apprun("--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_names_of_runs(apprun: Command, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    apprun.run("run")
    monkeypatch.setenv("_APPRUN_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "apprun show o")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "apprun show o")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert "o1" in apprun().out


def _reopen(ledger: Path, **values: str) -> None:
    """Make a finished run one whose process was killed before it noted the end."""
    import sqlite3

    connection = sqlite3.connect(ledger)
    connection.execute("UPDATE run SET phase = 'Running', finished_at = NULL, error = NULL")
    for name, value in values.items():
        connection.execute(f"UPDATE run SET {name} = ?", (value,))
    connection.commit()
    connection.close()


def test_no_secret_is_in_the_log_of_a_local_run(home: Path, apprun: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task in a process of its own, which writes its log file itself."""
    monkeypatch.setenv("TOKEN", "correct-horse-battery")
    (home / "secretive.py").write_text(SECRETIVE)
    ended = apprun("run", "secretive.py", "--name", "s1")
    assert ended.code != 0
    lines = apprun("logs", "s1").out
    assert "printed [redacted]" in lines
    everything = lines + ended.out + ended.err + apprun("show", "s1", "-o", "json").out
    assert "refused [redacted]" in everything
    assert "correct-horse" not in everything


READER = """
from application_sdk.app import App, task
from application_sdk.contracts import FileReference, Input, Output

class Sheet(Input):
    file: FileReference

class Said(Output):
    text: str = ""

class Reader(App):
    @task
    async def read(self, input: Sheet) -> Said:
        return Said(text=input.file.path.read_text())

    async def run(self, input: Sheet) -> Said:
        return await self.read(input)
"""


def test_a_users_own_file_may_be_an_input(apprun: Command, tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text(READER)
    (tmp_path / "own.csv").write_text("a,b")
    given = json.dumps({"file": {"local_path": str(tmp_path / "own.csv")}})
    done = apprun("run", str(tmp_path / "reader.py:Reader"), "--input", given)
    assert (done.code, done.json) == (0, {"text": "a,b"}), done.err
