"""Each Python block of the pages runs, in order, and prints what the text block after it shows."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from application_sdk.app.registry import AppRegistry
from application_sdk.infrastructure import clear_infrastructure

PAGES = sorted((Path(__file__).parents[3] / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_and_print_what_it_says(page: Path, module: types.ModuleType) -> None:
    printed = ""
    for language, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            linecache.cache[f"{NAME}.py"] = (len(content), None, content.splitlines(True), f"{NAME}.py")
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(content, f"{NAME}.py", "exec", dont_inherit=True), vars(module))
            printed = output.getvalue()
        elif language == "text" and printed:
            assert printed.rstrip() == content.rstrip()
            printed = ""
