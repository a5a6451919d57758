"""The pages of the documentation, cut into their code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ANYTHING = "…"
_BLOCK = re.compile(r'^```([\w-]+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    """`python` and `console` are executed, `text` is what the Python before it prints. A `shell-session` is typed by
    the cluster tests."""
    title: str
    """Name of the file that the block is to be saved as; empty if it is none."""
    content: str


def blocks(page: Path) -> list[Block]:
    return [Block(*match) for match in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def commands(content: str) -> Iterator[tuple[str, str]]:
    """Each command with what it prints."""
    for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def matches(expected: str, printed: str) -> bool:
    """Whether both are the same but for trailing spaces, and for what an ellipsis stands for: as a line of its own any
    lines, in a line any text."""
    lines = (
        r"(?:.*\n)*?" if line == ANYTHING else re.escape(line.rstrip()).replace(ANYTHING, ".*") + r"\n"
        for line in expected.rstrip().splitlines()
    )
    output = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch("".join(lines), output) is not None
