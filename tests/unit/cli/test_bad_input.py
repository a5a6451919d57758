"""Every mistake at the command line: its exit code, and a text from which a newcomer can go on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from tests.unit.cli.conftest import ORDERS, Command

from application_sdk.engines.local.schema import FORMAT

APP = str(ORDERS)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["run", "nowhere.py"], 3, "there is no file"),
        (["run", "nowhere:App"], 3, "there is no module 'nowhere'"),
        (["run", "app"], 3, "names no class. Use `file.py:Class` or `module:Class`"),
        (["run", "my-app.py"], 3, "'my-app' isn't a Python name. Rename it, to 'my_app' for example"),
        (["run", f"{APP}:Order"], 3, "has no class 'Order'. Did you mean 'Orders'?"),
        (["run", APP, "-i", "{}"], 3, "the field is required and has no default"),
        (["run", APP, "-i", '{"journal": "x", "cuont": 1}'], 3, "there is no such field. Did you mean count?"),
        (["run", APP, "-i", '{"journal": "x", "count": "many"}'], 3, "OrderInput.count"),
        (["run", APP, "-i", "{'journal': 1}"], 2, "quotes around names and texts are double"),
        (["run", APP, "-i", "[1]"], 2, "--input holds a list, but an input is an object"),
        (["run", APP, "-i", '{"journal": NaN}'], 2, "NaN is no JSON number"),
        (["run", APP, "-i", "@nowhere.yaml"], 2, "No such file"),
        (["run", APP, "-i", "given.yaml"], 2, "did you mean --input @given.yaml?"),
        (["run", APP, "-i", "@bad.yaml"], 2, "isn't YAML or JSON"),
        (["run", APP, "-i", "@odd.yaml"], 2, "the key 1 isn't a text; put it in quotes"),
        (["run", APP, "-e", "rnu"], 3, "has no entry point 'rnu'; it has abandoning"),
        (["run", APP, "--name", "Not_A_Name", "-i", '{"journal": "x"}'], 2, "can't be the name of a run"),
        (["run"], 2, "Missing argument 'APP'"),
        (["show", "orders-1"], 4, "no run 'orders-1'"),
        (["resume", "../../etc"], 4, "no run '../../etc'"),
        (["logs", "o1", "stpe"], 4, "no run 'o1'"),
        (["run", "raising.py"], 3, 'raise RuntimeError("at import")'),
        (["run", "exiting.py"], 3, "SystemExit"),
        (["run", "empty.py"], 3, "defines no App"),
        (["run", "part.py"], 3, "so there is nothing to run. Add `async def run(self, input: MyInput) -> MyOutput`\n"),
        (["run", "two.py"], 3, "defines 2 apps; say which: two.py:One, two.py:Two"),
        (["run", "wrong.py"], 3, "takes exactly one parameter beside self"),
    ],
)
def test_a_mistake_is_explained(apprun: Command, home: Path, arguments: list[str], code: int, text: str) -> None:
    (home / "given.yaml").write_text("journal: x\n")
    (home / "bad.yaml").write_text("a: [1\n")
    (home / "odd.yaml").write_text("1: x\n")
    (home / "my-app.py").touch()
    (home / "empty.py").touch()
    (home / "raising.py").write_text('raise RuntimeError("at import")\n')
    (home / "exiting.py").write_text("import sys\nsys.exit(0)\n")
    head = "from application_sdk.app import App, task\nfrom application_sdk.contracts import Input, Output\n"
    body = "    async def run(self, input: Input) -> Output:\n        return Output()\n"
    (home / "part.py").write_text(f"{head}class Part(App):\n    pass\n")
    (home / "two.py").write_text(f"{head}class One(App):\n{body}class Two(App):\n{body}")
    (home / "wrong.py").write_text(f"{head}class One(App):\n    @task\n    async def two(self, a, b): ...\n{body}")
    done = apprun(*arguments)
    assert text in " ".join(done.err.split()) or text in done.err
    assert done.code == code
    assert "fault of apprun" not in done.err
    assert not (home / "home" / "runs").exists()


def test_an_error_is_json_when_results_are(apprun: Command) -> None:
    done = apprun("show", "nothing", "-o", "json")
    assert (done.code, done.json["error"]["type"]) == (4, "RunNotFoundError")


def test_a_name_that_is_taken_is_refused(apprun: Command) -> None:
    apprun.run("run")
    done = apprun.run("run")
    assert done.code == 5
    assert "there is a run 'o1' already" in done.err


def test_a_damaged_ledger_is_named_with_what_to_do(apprun: Command, home: Path) -> None:
    apprun.run("run")
    ledger = home / "home" / "runs" / "o1" / "ledger.db"
    ledger.write_bytes(b"nonsense" * 1000)
    for command in ("show", "resume", "logs", "retry", "cancel"):
        done = apprun(command, "o1")
        assert done.code == 6
        assert f"{ledger}: this ledger can't be read" in done.err.replace("\n", " ")


def test_a_newer_ledger_is_left_alone(apprun: Command, home: Path) -> None:
    apprun.run("run")
    ledger = home / "home" / "runs" / "o1" / "ledger.db"
    connection = sqlite3.connect(ledger)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    done = apprun("resume", "o1")
    assert done.code == 6
    assert "`pip install` its wheel or clone" in done.err


def diverged(apprun: Command, home: Path) -> None:
    """Leaves the run `o1`, whose code was changed."""
    app = home / "changing.py"
    app.write_text(ORDERS.read_text())
    Path(f"{apprun.journal}.stop").touch()
    given = json.dumps({"journal": str(apprun.journal)})
    apprun("run", f"{app}:Orders", "-e", "needs-permission", "--name", "o1", "-i", given, "--in-process")
    ledger = home / "home" / "runs" / "o1" / "ledger.db"
    connection = sqlite3.connect(ledger)
    connection.execute("UPDATE run SET phase = 'Running', finished_at = NULL, error = NULL")
    connection.commit()
    connection.close()
    changed = home / "changed.py"
    changed.write_text(ORDERS.read_text().replace('step="beside"', 'step="elsewhere"'))
    done = apprun("resume", "o1", "--app", f"{changed}:Orders", "--in-process")
    assert done.code == 7
    assert 'input field step: "beside" → "elsewhere"' in done.err
    assert apprun("show", "o1", "-o", "json").json["phase"] == "Stalled"


def test_a_diverged_run_goes_on_once_its_code_is_corrected(apprun: Command, home: Path) -> None:
    diverged(apprun, home)
    assert apprun("resume", "o1", "--in-process").code == 1


def test_a_diverged_run_can_be_cancelled(apprun: Command, home: Path) -> None:
    diverged(apprun, home)
    assert apprun("cancel", "o1").code == 0
    assert apprun("show", "o1", "-o", "json").json["phase"] == "Cancelled"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("input.json", '{"journal": "j", "count": 0}'),
        ("input.yaml", "journal: j\ncount: 0\n"),
        ("input.yml", '{"journal": "j", "count": 0}'),
    ],
)
def test_an_input_can_come_from_a_file(apprun: Command, home: Path, name: str, content: str) -> None:
    (home / name).write_text(content)
    done = apprun("run", APP, "-i", f"@{name}", "--in-process", "-o", "json")
    assert done.json["input"] == {"journal": "j", "count": 0}


def test_an_input_can_come_from_standard_input(apprun: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("journal: j\ncount: 0\n"))
    assert apprun("run", APP, "-i", "@-", "--in-process").json == {"said": "FIRST LAST"}


def test_a_date_in_yaml_stays_the_text_that_it_is(home: Path) -> None:
    import io

    from application_sdk.cli.inputs import read_input

    assert read_input("@-", io.StringIO("day: 2026-07-01\n")) == {"day": "2026-07-01"}
