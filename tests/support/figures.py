"""Figures in docs/benchmarks.md: each command writes its own, between two markers that name it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.support.bed import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


def write(command: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Replace what stands between the command's markers, and say when and on what it was measured."""
    begin, end = f"<!-- figures: begin ({command}) -->", f"<!-- figures: end ({command}) -->"
    head, rest = page.read_text().split(begin)
    _, tail = rest.split(end)
    stamp = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}."
    )
    page.write_text("\n".join([head + begin, "", stamp, "", *lines, "", end + tail]))
