"""What tasks say of their pods, on a machine without any."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Command

from application_sdk.engines.local.pod_fields import variables, without_effect

APP = """
import os
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class Nothing(Input):
    pass

class Said(Output):
    text: str = ""

class Shop(App):
    @task(env={"REGION": "eu", "STAGE": "code", "TOKEN": {"secret": "s", "key": "k"}}, memory="1Gi", gpu=1)
    async def charge(self, input: Nothing) -> Said:
        return Said(text=" ".join(os.environ.get(name, "-") for name in ("REGION", "STAGE", "TOKEN")))

    @task
    async def plain(self, input: Nothing) -> Said:
        return Said(text=os.environ.get("REGION", "-"))

    async def run(self, input: Nothing) -> Said:
        charged = await self.charge(input)
        plain = await self.plain(input)
        return Said(text=f"{charged.text} | {plain.text}")
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("REGION", "TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STAGE", "shell")
    path = tmp_path / "shop.py"
    path.write_text(APP)
    return f"{path}:Shop"


def test_task_gets_its_variables_unless_the_shell_has_them(apprun: Command, shop: str) -> None:
    done = apprun("run", shop)
    assert done.json == {"text": "eu shell - | -"}


def test_fields_without_effect_are_told_in_one_line(apprun: Command, shop: str) -> None:
    done = apprun("run", shop)
    lines = [line for line in done.err.splitlines() if "without effect" in line]
    assert lines == ["without effect on this machine: charge: gpu, memory"]


def test_programs_are_told_nothing_of_it(apprun: Command, shop: str) -> None:
    assert "without effect" not in apprun("run", shop, "-o", "json").err


def test_variables_need_a_process_of_the_attempts_own(apprun: Command, shop: str) -> None:
    done = apprun("run", shop, "--in-process")
    assert "charge: env, gpu, memory" in done.err
    assert done.json == {"text": "- shell - | -"}


def test_app_that_asks_for_nothing_is_told_nothing() -> None:
    assert without_effect({}, in_process=False) == ""
    assert variables({}, {}) == {}
