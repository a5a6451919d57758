"""What a task pod may import. Its start is overhead of every task, so each module has to be worth it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.support.pods import call
from tests.support.wire_server import make_certificate

FORBIDDEN = {
    "aiohttp",
    "argparse",
    "concurrent.futures.process",
    "difflib",
    "email",
    "http",
    "kopf",
    "kubernetes",
    "multiprocessing",
    "pdb",
    "prometheus_client",
    "rich",
    "sqlite3",
    "typer",
    "unittest",
    "yaml",
    "xml",
    "zipfile",
}
"""Packages and modules, with all that is in them."""

OURS_ELSEWHERE = {
    "application_sdk.cli",
    "application_sdk.engines.kubernetes.driver",
    "application_sdk.engines.kubernetes.driver_main",
    "application_sdk.engines.local",
    "application_sdk.engines.memory",
    "application_sdk.replay.guard",
    "application_sdk.replay.loop",
    "application_sdk.replay.route",
    "application_sdk.replay.run",
    "application_sdk.handler",
    "application_sdk.infrastructure",
    "application_sdk.storage",
    "application_sdk.testing",
    "apprun_operator",
}
"""Parts of this project that no task needs."""

APP = """
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class FetchInput(Input):
    name: str = "World"

class FetchOutput(Output):
    message: str = ""

class HelloWorldApp(App):
    @task(timeout_seconds=10)
    async def create_greeting(self, input: FetchInput) -> FetchOutput:
        return FetchOutput(message=f"Hello, {input.name}!")

    async def run(self, input: FetchInput) -> FetchOutput:
        return await self.create_greeting(input)
"""

PROBE = """
import json, sys
from application_sdk.engines.kubernetes.startup import tune_startup
tune_startup()
from pathlib import Path
from application_sdk.engines.kubernetes import pod, report

def delivered(api, app_task, report, attempt, pause):
    assert report["output"] == {"message": "Hello, World!"}, report
    print(json.dumps(sorted(sys.modules)), file=real_stdout, flush=True)
    return pod_report.Delivery.ACCEPTED

real_stdout, sys.stdout = sys.stdout, sys.stderr
pod_report = report
report.deliver = delivered
raise SystemExit(pod.run(Path(sys.argv[1]), Path(sys.argv[2]), 0.0))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules that are loaded when a task pod is about to send its report."""
    folder = tmp_path_factory.mktemp("pod")
    make_certificate(folder)
    (folder / "token").write_text("token")
    (folder / "call").write_text(json.dumps(call(entry="app:HelloWorldApp", task="create_greeting")))
    source = folder / "source"
    source.mkdir()
    (source / "app.py").write_text(APP)
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder), str(source)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout))


def test_the_probe_sees_what_a_pod_loads(loaded: set[str]) -> None:
    assert {"app", "pydantic", "asyncio", "ssl", "application_sdk.engines.kubernetes.report"} <= loaded


@pytest.mark.parametrize("forbidden", sorted(FORBIDDEN | OURS_ELSEWHERE))
def test_a_task_pod_does_not_import(loaded: set[str], forbidden: str) -> None:
    found = {module for module in loaded if module == forbidden or module.startswith(f"{forbidden}.")}
    assert not found


def test_the_number_of_modules_stays_in_its_budget(loaded: set[str]) -> None:
    assert len(loaded) <= 300
    assert len({module for module in loaded if module.startswith("application_sdk")}) <= 67
