"""The code of the pages runs, block by block, and prints what they say it prints; so do the commands."""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.pages import PAGES, blocks, commands, matches

from application_sdk.app.registry import AppRegistry
from application_sdk.infrastructure import clear_infrastructure

NAME = "example"


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """The module that a page's blocks are: it has a file, as a user's has."""
    registry = AppRegistry.get_instance()
    before = registry.snapshot()
    page = types.ModuleType(NAME)
    page.__file__ = f"{NAME}.py"
    sys.modules[NAME] = page
    yield page
    del sys.modules[NAME]
    registry.restore(before)
    clear_infrastructure()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_and_prints_what_it_says(page: Path, module: types.ModuleType) -> None:
    printed = ""
    for block in blocks(page):
        if block.language == "python" and not block.title:
            lines = block.content.splitlines(True)
            linecache.cache[f"{NAME}.py"] = (len(block.content), None, lines, f"{NAME}.py")
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block.content, f"{NAME}.py", "exec", dont_inherit=True), vars(module))
            printed = output.getvalue()
        elif block.language == "text" and printed:
            assert printed.rstrip() == block.content.rstrip()
            printed = ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language == "console" for block in blocks(page))], ids=lambda p: p.stem
)
def test_the_commands_of_a_page_print_what_it_says(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.content)
        elif block.language == "console":
            for command, expected in commands(block.content):
                printed = shell(command, tmp_path)
                assert matches(expected, printed), f"$ {command}\n{printed}"


def shell(command: str, folder: Path) -> str:
    """What a command prints, its complaints first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "120", "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(["bash", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    return ended.stderr + ended.stdout
