"""A run's input is completed once, when the run begins: no later life asks for its defaults again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.frozen import source

from application_sdk.engines.local.events import Committed, Event
from application_sdk.engines.local.ledger import Ledger
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import ExecutionOptions, RunRequest, create_run, execute_in_process
from application_sdk.engines.local.source import find_source


class Killed(BaseException):
    pass


def life(tmp_path: Path, limit: int, observer: Any) -> Any:
    folder = tmp_path / f"code-{limit}"
    folder.mkdir(exist_ok=True)
    (folder / f"frozen{limit}.py").write_text(source(limit))
    found = find_source(f"{folder / f'frozen{limit}.py'}:Frozen", tmp_path)
    app_class, home = found.load(), RunStore(tmp_path / "home")
    if not home.runs():
        create_run(home, "frozen-1", RunRequest(found, app_class.definition.name, "run", {"name": "Ada"}))
    return execute_in_process(home, "frozen-1", app_class, found, ExecutionOptions(observer=observer))


def test_a_local_run_keeps_the_defaults_that_it_began_with(tmp_path: Path) -> None:
    def die(notice: Event) -> None:
        if isinstance(notice, Committed):
            raise Killed

    with pytest.raises(Killed):
        life(tmp_path, 10, die)
    with Ledger.open(RunStore(tmp_path / "home").folder("frozen-1").ledger, read_only=True) as ledger:
        begun = ledger.run().input
    assert (begun["name"], begun["limit"]) == ("Ada", 10)
    run = life(tmp_path, 20, lambda notice: None)
    assert (run.phase, run.output) == ("Succeeded", {"text": f"Ada 10 {begun['token']}"})
