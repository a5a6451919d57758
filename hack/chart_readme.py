"""`python -m hack.chart_readme` writes the table of values in the chart's README from values.yaml; `--check` only says
whether it is stale.

A value's meaning is the comment right above it in values.yaml. One without is an error: nobody could tell what it is
for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from hack.generated import update

CHART = Path(__file__).resolve().parents[1] / "charts" / "apprun"
BEGIN, END = "<!-- begin values -->", "<!-- end values -->"
LONGEST_DEFAULT = 60


class UndescribedError(Exception):
    """A value has no comment: the text names it and its line."""


@dataclass(frozen=True)
class Value:
    """One leaf of values.yaml."""

    path: str
    default: object
    meaning: str


def values(text: str) -> list[Value]:
    """The leaves of values.yaml in its order. Raises UndescribedError."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return list(_leaves(root, text.splitlines(), ""))


def _leaves(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, child in node.value:
        path, line = f"{prefix}{key.value}", key.start_mark.line
        meaning = _comment_above(lines, line)
        if isinstance(child, yaml.MappingNode) and child.value and not meaning:
            yield from _leaves(child, lines, f"{path}.")
            continue
        if not meaning:
            raise UndescribedError(
                f"values.yaml, line {line + 1}: {path} has no comment above that says what it is for"
            )
        yield Value(path, yaml.SafeLoader("").construct_document(child), meaning)


def _comment_above(lines: list[str], line: int) -> str:
    lines_: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        lines_.insert(0, lines[line].lstrip().removeprefix("#").strip())
    return " ".join(lines_)


def table(values: list[Value]) -> str:
    """The values as a Markdown table."""
    rows = [f"| `{value.path}` | {_default(value)} | {value.meaning.replace('|', chr(92) + '|')} |" for value in values]
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *rows])


def _default(value: Value) -> str:
    text = json.dumps(value.default)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see values.yaml"


def rendered(readme: str, text: str) -> str:
    """The README with today's table between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(values(text))}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when all is current (or was written), 1 when `--check` found it stale or a value has no meaning."""
    parser = argparse.ArgumentParser(prog="python -m hack.chart_readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the README is stale")
    parser.add_argument("--chart", type=Path, default=CHART, help="the chart's folder (default: this repository's)")
    options = parser.parse_args(arguments)
    path = options.chart / "README.md"
    try:
        wanted = rendered(path.read_text("utf-8"), (options.chart / "values.yaml").read_text("utf-8"))
    except UndescribedError as error:
        print(error, file=sys.stderr)
        return 1
    return update(path, wanted, check=options.check)


if __name__ == "__main__":
    raise SystemExit(main())
