"""No secret is in anything that a run leaves on this machine: ledger, logs, state, what is told, what is exported."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.unit.engines.local.bench import Bench

from application_sdk.engines.local.exporting import export_run
from application_sdk.infrastructure import clear_infrastructure

APP = Path(__file__).parent / "apps" / "leaking.py"
PASSWORD = "canary-p4ss/word+42"
TOKEN = "canary-t0ken-4711"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """One from the environment, one from a folder."""
    monkeypatch.setenv("TOKEN", TOKEN)
    folder = tmp_path / "secrets" / "db"
    folder.mkdir(parents=True)
    (folder / "username").write_text("extractor")
    (folder / "password").write_text(PASSWORD)
    monkeypatch.setenv("APPRUN_SECRETS_DIR", str(folder.parent))
    yield
    clear_infrastructure()


@pytest.mark.parametrize("in_process", [False, True], ids=["processes", "in process"])
def test_no_secret_is_in_anything_that_a_run_leaves(
    in_process: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path, APP, in_process=in_process)
    bench.begin(count=0 if in_process else 1)
    run = bench.execute()
    assert run.phase == "Failed"
    message = str(run.error)
    # It was there to be told: each of them came as far as its secret.
    assert f"{len(PASSWORD)} {len(TOKEN)}" in message
    for what in ("the output of task 'returns'", "heartbeat details", "the state 'login'"):
        assert f"{what} holds the value of secret 'db'" in message
    assert "401 for https://api?token=[redacted]" in message
    logs = "".join(log.read_text() for log in bench.home.folder("orders-1").logs.glob("*.log"))
    assert ("to stderr [redacted]" in logs) is not in_process
    # In the user's own process, to be debugged there, tasks print to the user's own terminal.
    printed = "" if in_process else "".join(capfd.readouterr())
    with bench.ledger() as ledger:
        exported = repr(export_run(ledger))
    files = {str(file): file.read_bytes() for file in bench.home.path.rglob("*") if file.is_file()}
    assert {"ledger.db"} <= {Path(name).name for name in files}
    told = {**files, "printed": printed.encode(), "exported": exported.encode(), "error": message.encode()}
    for place, content in told.items():
        for form in forms():
            assert form.encode() not in content, f"{form} is in {place}"


def forms() -> list[str]:
    """The canaries as they are, and as they may be hidden inside of something."""
    whole = base64.b64encode(f"extractor:{PASSWORD}".encode()).decode()
    encoded = [base64.b64encode(value.encode()).decode().rstrip("=") for value in (PASSWORD, TOKEN)]
    return [PASSWORD, TOKEN, quote(PASSWORD, safe=""), whole, *encoded]
