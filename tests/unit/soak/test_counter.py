"""The counter outside of the cluster, told by the soak's own app."""

from __future__ import annotations

import runpy
from pathlib import Path

from tests.soak.counter import Counter, Execution

APP = Path(__file__).parents[2] / "soak" / "app.py"


def test_body_counts_once_however_often_it_tells() -> None:
    record = runpy.run_path(str(APP))["record"]
    mine = {"id": "one", "call": "uid/a", "attempt": 2}
    with Counter("127.0.0.1") as counter:
        record(counter.url, **mine, begun=1.5)
        record(counter.url, **mine, begun=1.5)
        assert counter.executions == (Execution("uid/a", 2, 1.5),)
        record(counter.url, **mine, done=2.5)
    assert counter.executions == (Execution("uid/a", 2, 1.5, 2.5),)
