"""Each block of code in the page on inputs and outputs runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "inputs-and-outputs.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    blocks = BLOCK.findall(PAGE.read_text())
    printed = ""
    for kind, text in blocks:
        if kind == "text":
            assert printed == text
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(text, str(PAGE), "exec", dont_inherit=True), module.__dict__)
        printed = output.getvalue()
    assert sum(kind == "text" for kind, _ in blocks) == 5
