"""A route that computes for long on this machine is told while it does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from tests.unit.engines.local.bench import Bench

from application_sdk.engines.local import runs
from application_sdk.engines.local.events import NotYielding
from application_sdk.engines.local.render import format_event
from application_sdk.replay.yielding import YieldWatch

APP = """
from application_sdk.app import App
from application_sdk.contracts import Input, Output


class Given(Input):
    journal: str = ""
    count: int = 0


class Orders(App):
    async def run(self, input: Given) -> Output:
        for _ in range(20_000_000):
            pass
        return Output()
"""


def test_route_that_computes_for_long_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "YieldWatch", partial(YieldWatch, limit=0.05, look=0.01))
    code = tmp_path / "busy.py"
    code.write_text(APP)
    bench = Bench(tmp_path, code, in_process=True)
    notices: list[object] = []
    bench.run(observer=notices.append)
    (notice,) = [one for one in notices if isinstance(one, NotYielding)]
    assert "busy.py:13" in notice.message or "busy.py:14" in notice.message
    assert format_event(notice, 0.0) == notice.message
