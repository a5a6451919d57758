"""What a command imports before it does anything: its start is what somebody waits for at each prompt."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.support.cluster_wire import FakeCluster

HEAVY = {
    "aiohttp",
    "application_sdk.app",
    "application_sdk.engines.local.ledger",
    "asyncio",
    "kubernetes",
    "pydantic",
    "requests",
    "rich",
    "sqlite3",
    "urllib3",
}
PROBE = """
import json, sys
from application_sdk import cli
code = cli.run(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(environment: dict[str, str], *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, env=environment, timeout=60
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("list",), ("show", "r"), ("describe", "r"), ("suspend", "r")])
def test_a_verb_on_a_cluster_imports_nothing_heavy(cluster: FakeCluster, arguments: tuple[str, ...]) -> None:
    import os

    cluster.run("r", phase="Running")
    modules = loaded({**os.environ, "APPRUN_PLACE": "cluster"}, *arguments)
    assert "application_sdk.cli.cluster.api" in modules
    assert {module for module in HEAVY if module in modules} == set()


@pytest.mark.slow
def test_help_needs_neither_apps_nor_clusters(environment: dict[str, str]) -> None:
    modules = loaded(environment, "submit", "--help")
    assert "rich" in modules  # it draws the page
    assert {module for module in HEAVY - {"rich"} if module in modules} == set()
