"""What generators of a part of a page have in common: they write it, or with `--check` only say whether it is stale."""

from __future__ import annotations

import sys
from pathlib import Path


def update(path: Path, text: str, *, check: bool) -> int:
    """Have the file be as wanted. The exit code: 1 when `check` found that it isn't, else 0."""
    if path.read_text("utf-8") == text:
        return 0
    if check:
        print(f"stale: {path}: run `make generate`", file=sys.stderr)
        return 1
    path.write_text(text, "utf-8")
    return 0
