"""A gated run on this machine: the check is a task as any other, and is made again when the run is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench

from application_sdk.engines.local.retry_run import retry

GATED = Path(__file__).parent / "apps" / "gated.py"


@pytest.mark.slow
@pytest.mark.parametrize("in_process", [False, True])
def test_run_that_was_refused_passes_its_gate_once_it_is_ready_and_tried_again(
    tmp_path: Path, in_process: bool
) -> None:
    bench = Bench(tmp_path, GATED, in_process=in_process)
    run = bench.run("run")
    assert run.phase == "Failed"
    assert run.error is not None
    assert (run.error["type"], run.error["message"]) == ("PreflightFailedError", "not ready to run: closed")
    assert bench.lines() == ["checked"]

    bench.journal.with_name("journal.allowed").touch()
    retry(bench.home.folder("orders-1"), None, "")
    run = bench.execute()
    assert (run.phase, run.output) == ("Succeeded", {"said": "done"})
    assert bench.lines() == ["checked", "checked", "step"]
