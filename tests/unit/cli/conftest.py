from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster_wire import FakeCluster, fake_cluster
from tests.support.wire_server import make_certificate

from application_sdk import cli

ORDERS = Path(__file__).parents[1] / "engines" / "local" / "apps" / "orders.py"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Types `apprun …` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path) -> None:
        self._capsys = capsys
        self.journal = path / "journal"

    def __call__(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        code = cli.run(arguments)
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def run(self, entrypoint: str, *options: str) -> Result:
        given = json.dumps({"journal": str(self.journal)})
        return self("run", str(ORDERS), "-e", entrypoint, "--name", "o1", "-i", given, "--in-process", *options)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("APPRUN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    # A command is a process of its own elsewhere: the next one may have another file of the same name.
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{tmp_path}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def apprun(home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys, home)


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return dict(os.environ)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def cluster(home: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A cluster that the kubeconfig names: context `test`, namespace `team`."""
    with fake_cluster(*certificate, home) as found:
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig))
        yield found
