"""What the pages show is good code for a strict type checker too."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api
from tests.support.pages import PAGES, blocks


@pytest.mark.slow
def test_the_code_of_the_pages_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in PAGES:
        shown = [
            block
            for block in blocks(page)
            # What the SDK refuses when it is defined, the type checker refuses as well.
            if block.language == "python" and "except AppDefinitionError" not in block.content
        ]
        for block in shown:
            if block.title:
                (tmp_path / block.title).write_text(block.content)
        whole = "\n".join(block.content for block in shown if not block.title)
        if whole:
            (tmp_path / f"page_{page.stem.replace('-', '_')}.py").write_text(whole)
    files = sorted(map(str, tmp_path.glob("*.py")))
    assert files
    monkeypatch.setenv("MYPYPATH", str(Path(__file__).parents[3] / "sdk"))
    # A page may define a class again, to show it changed.
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "--disable-error-code=no-redef"]
    report, complaints, _ = api.run([*options, "--no-error-summary", *files])
    assert not complaints
    assert [line for line in report.splitlines() if ": error: " in line] == []
