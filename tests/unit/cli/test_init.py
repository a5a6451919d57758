"""`apprun init`: a project that runs and whose tests pass, and nothing of the user's is overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def shell(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
def test_its_app_runs_and_its_tests_pass(tmp_path: Path) -> None:
    begun = shell(tmp_path, "apprun", "init", "hello")
    assert begun.returncode == 0, begun.stderr
    hello = tmp_path / "hello"
    assert sorted(path.name for path in hello.iterdir()) == ["app.py", "pytest.ini", "requirements.txt", "test_app.py"]
    ran = shell(hello, "apprun", "run", "app.py", "--input", '{"name": "Ada"}')
    assert ran.returncode == 0, ran.stderr
    assert '"Hello, Ada!"' in ran.stdout
    tested = shell(hello, "python", "-m", "pytest", "-q", "-W", "error")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "3 passed" in tested.stdout


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine")
    refused = shell(tmp_path, "apprun", "init")
    assert refused.returncode == 2
    assert "app.py already, and nothing is overwritten" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
    assert (tmp_path / "app.py").read_text() == "mine"


def test_make_leaves_an_environment_that_it_did_not_make(tmp_path: Path) -> None:
    bootstrap = Path(__file__).parents[3] / "hack" / "bootstrap"
    (tmp_path / "hack").mkdir()
    (tmp_path / "hack" / "bootstrap").write_text(bootstrap.read_text())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "mine").touch()
    refused = shell(tmp_path, "bash", "hack/bootstrap")
    assert refused.returncode == 1
    assert "was not made by make, and is left as it is" in refused.stderr
    assert (tmp_path / ".venv" / "mine").exists()


def test_make_clean_leaves_it_as_well(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((Path(__file__).parents[3] / "Makefile").read_text())
    (tmp_path / ".venv").mkdir()
    kept = shell(tmp_path, "make", "clean")
    assert (kept.returncode, (tmp_path / ".venv").exists()) == (0, True)
    assert "was not made by make, and is left as it is" in kept.stdout
    (tmp_path / ".venv" / "made-by-bootstrap").touch()
    assert shell(tmp_path, "make", "clean").returncode == 0
    assert not (tmp_path / ".venv").exists()
