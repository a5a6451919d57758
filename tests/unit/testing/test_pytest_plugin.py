"""The plugin: every pytest of the environment loads it, so it must cost those nothing that have no apps to test."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

SUITE = """
import pytest
from application_sdk.app import App, task
from application_sdk.contracts import HeartbeatDetails, Input, Output


class Place(HeartbeatDetails):
    row: int = 0


class Shop(App):
    @task
    async def charge(self, input: Input) -> Output:
        assert await self.context.get_secret("payments") == "t0ken"
        self.heartbeat(Place(row=7))
        return Output()

    async def run(self, input: Input) -> Output:
        return await self.charge(input)


def test_charge(app_context, mock_secret_store, mock_heartbeat):
    import asyncio

    mock_secret_store.set("payments", "t0ken")
    assert asyncio.run(Shop().charge(Input())) == Output()
    assert mock_heartbeat.get_heartbeat_calls() == [{"row": 7}]


def test_stores_are_put_away_again():
    from application_sdk.infrastructure import get_infrastructure

    assert get_infrastructure().state_store is None
"""


def entry_point() -> EntryPoint:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    ((name, value),) = project["project"]["entry-points"]["pytest11"].items()
    return EntryPoint(name, value, "pytest11")


def python(*arguments: str, folder: Path) -> str:
    # Whether the installation in use is new enough to have the entry point makes no difference here.
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_a_suite_gets_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(SUITE)
    options = ["-q", "-p", "no:cacheprovider", "-p", entry_point().value]
    assert "2 passed" in python("-m", "pytest", *options, folder=tmp_path)


def test_it_loads_nothing_that_pytest_has_not_loaded(tmp_path: Path) -> None:
    plugin = entry_point().value
    script = f"import pytest, sys; before = set(sys.modules); import {plugin}; print(*(set(sys.modules) - before))"
    assert set(python("-c", script, folder=tmp_path).split()) == {
        "application_sdk", "application_sdk.testing", "application_sdk.testing.fixtures", plugin,
    }  # fmt: skip
