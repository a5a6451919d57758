"""replay: today's code against a real run's ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.replay.history import LedgerFormatError
from application_sdk.testing import ReplayError, replay, run_app


class N(Input):
    n: int = 0


class Out(Output):
    n: int = 0


def make(factor: int, *, twice: bool = False, plus: int = 0) -> type[App]:
    class Work(App):
        @task
        async def work(self, input: N) -> Out:
            return Out(n=input.n)

        async def run(self, input: N) -> Out:
            out = await self.work(N(n=input.n * factor))
            if twice:
                out = await self.work(N(n=out.n))
            return Out(n=out.n + plus)

    return Work


RUN = run_app(make(2), N(n=3)).exported


def test_the_same_code_repeats_a_run(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    file.write_text(json.dumps(RUN.to_json()))
    for ledger in (RUN, RUN.to_json(), file, str(file)):
        replayed = replay(make(2), ledger)  # type: ignore[arg-type]
        assert replayed.result is not None
        assert replayed.result.output == {"n": 6}


def test_changed_code_is_told_where_it_departs() -> None:
    with pytest.raises(ReplayError, match="input field n: 6 → 9"):
        replay(make(3), RUN)


def test_another_output_is_told() -> None:
    with pytest.raises(ReplayError, match="The output differs, ledger → this code:\n  n: 6 → 7"):
        replay(make(2, plus=1), RUN)


def test_a_finished_run_that_would_go_on_is_told() -> None:
    with pytest.raises(ReplayError, match=r"The run had ended as Succeeded, this code would go on with work\(\) at "):
        replay(make(2, twice=True), RUN)


def test_an_unfinished_run_tells_what_comes_next() -> None:
    document = RUN.to_json()
    del document["outcome"], document["output"]
    replayed = replay(make(2, twice=True), document)
    assert replayed.result is None
    assert [call.task for call in replayed.further_calls] == ["work"]


def test_a_ledger_of_another_app_is_refused() -> None:
    class Stranger(App):
        async def run(self, input: N) -> Out:
            return Out()

    with pytest.raises(LedgerFormatError, match=r"this ledger is of a run of .*Work, not of .*Stranger"):
        replay(Stranger, RUN)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "this is no exported ledger"),
        ({"kind": "RunLedger", "version": 99}, "has version 99, this SDK reads version 1"),
        ({"kind": "RunLedger", "version": 1}, "the exported ledger is damaged: KeyError: 'app'"),
    ],
)
def test_what_is_no_ledger_is_refused(document: dict[str, object], said: str) -> None:
    with pytest.raises(LedgerFormatError, match=said):
        replay(make(2), document)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    file.write_text("{")
    with pytest.raises(LedgerFormatError, match=r"ledger\.json is no JSON"):
        replay(make(2), file)
