"""The guards of the source: each stands below a comment `# guard: name - why`, by which `make mutants` finds it.

In Python the comment stands above a statement. In a template of the chart it stands above an item of a list or a key,
and everything that is indented deeper belongs to that item. Neither renaming nor reformatting moves a guard away from
its comment.
"""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

FOLDERS: Final = ("sdk", "operator", "charts")
SUFFIXES: Final = (".py", ".yaml", ".tpl")
NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ANCHOR: Final = re.compile(r"^\s*#\s*guard:(.*)$", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")
_LAYOUT: Final = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
_BUILTINS: Final = frozenset(dir(builtins)) | frozenset(keyword.kwlist)


class GuardError(Exception):
    """A guard can't be found, or what should replace it doesn't fit. The message says where and what to do."""


@dataclass(frozen=True)
class Anchor:
    """The comment of one guard."""

    name: str
    path: str
    line: int
    """The line of the comment, counted from one."""


@dataclass(frozen=True)
class _Span:
    start: int
    end: int


def anchors(root: Path) -> dict[str, Anchor]:
    """Every anchor below the root, by name.

    Raises:
        GuardError: If a comment isn't of the form `# guard: name - why`, or if two anchors have the same name.
    """
    anchors_by_name: dict[str, Anchor] = {}
    for path in sorted(_sources(root)):
        name = path.relative_to(root).as_posix()
        for anchor in anchors_in(path.read_text("utf-8"), name):
            if (other := anchors_by_name.setdefault(anchor.name, anchor)) is not anchor:
                raise GuardError(
                    f"{name}:{anchor.line}: the guard {anchor.name} stands at {other.path}:{other.line} too:"
                    " give each its own name"
                )
    return anchors_by_name


def anchors_in(text: str, path: str) -> Iterator[Anchor]:
    """The anchors of one file."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _ANCHOR.match(line):
            name, dash, why = match[1].strip().partition(" - ")
            if not NAME.fullmatch(name) or not dash or not why.strip():
                raise GuardError(f"{path}:{number}: not of the form '# guard: short-name - why': {line.strip()!r}")
            yield Anchor(name, path, number)


def replaced(text: str, anchor: Anchor, part: str, without: str) -> str:
    """The text of the anchor's file without its guard.

    Args:
        text: The whole file.
        anchor: The guard's comment.
        part: What is replaced in the guarded statement: it has to occur once, however it is formatted. Empty for the
            condition of an `if`, `elif` or `while`, and for the whole of any other statement.
        without: What stands there instead.

    Raises:
        GuardError: If the guard has no such part, or if `without` uses a name that the file doesn't.
    """
    if not anchor.path.endswith(".py"):
        span = _part_of_item(text, anchor, part)
        return text[: span.start] + without + text[span.end :]
    _check_names(text, anchor, without)
    statement = _statement(text, anchor)
    if part:
        span = _part_of_statement(text, anchor, _span(text, statement), part)
    elif isinstance(statement, ast.If | ast.While):
        span = _span(text, statement.test)
    elif hasattr(statement, "body"):
        raise GuardError(f"{_place(anchor)}: a {type(statement).__name__} follows: name the part of it to replace")
    else:
        span = _span(text, statement)
        without = textwrap.indent(without, " " * statement.col_offset).lstrip()
    if text[span.start : span.end] == without:
        raise GuardError(f"{_place(anchor)}: what stands there without the guard is the same code")
    mutated = text[: span.start] + without + text[span.end :]
    try:
        ast.parse(mutated)
    except SyntaxError as error:
        raise GuardError(f"{_place(anchor)}: without the guard the file has a syntax error: {error}") from None
    return mutated


def _sources(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in (root / folder).rglob("*") if path.suffix in SUFFIXES and path.is_file())


def _place(anchor: Anchor) -> str:
    return f"{anchor.path}:{anchor.line}: guard {anchor.name}"


def _statement(text: str, anchor: Anchor) -> ast.stmt:
    """The statement that follows the comment; of several on its line, the outermost."""
    lines = text.splitlines()
    follows = anchor.line
    while follows < len(lines) and lines[follows].lstrip().startswith("#"):
        follows += 1
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.stmt) and node.lineno == follows + 1:
            return node
    raise GuardError(f"{_place(anchor)}: no statement follows: the comment stands right above the guarded statement")


def _span(text: str, node: ast.stmt | ast.expr) -> _Span:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return _Span(_offset(text, node.lineno, node.col_offset), _offset(text, node.end_lineno, node.end_col_offset))


def _offset(text: str, line: int, column: int) -> int:
    """Where in the text a node's position is: its column counts bytes."""
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


@lru_cache(maxsize=1)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@lru_cache(maxsize=64)
def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in _LAYOUT]


def _part_of_statement(text: str, anchor: Anchor, within: _Span, part: str) -> _Span:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    places = [
        (token.string, _Span(starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]))
        for token in _tokens(text)
    ]
    inside = [(string, span) for string, span in places if within.start <= span.start and span.end <= within.end]
    # In brackets, so that the part may have lines of its own.
    part_tokens = [token.string for token in _tokens(f"({part}\n)")][1:-1]
    spans = [
        _Span(inside[at][1].start, inside[at + len(part_tokens) - 1][1].end)
        for at in range(len(inside) - len(part_tokens) + 1)
        if [string for string, _ in inside[at : at + len(part_tokens)]] == part_tokens
    ]
    return _only(spans, anchor, part)


def _part_of_item(text: str, anchor: Anchor, part: str) -> _Span:
    """A part of the chart's item below the anchor, whatever its line breaks."""
    lines = text.splitlines(keepends=True)
    first = anchor.line
    while first < len(lines) and lines[first].lstrip().startswith("#"):
        first += 1
    if first == len(lines) or not part:
        raise GuardError(f"{_place(anchor)}: an item has to follow, and the part of it that goes has to be named")
    depth = len(lines[first]) - len(lines[first].lstrip())
    last = first + 1
    while last < len(lines) and (not lines[last].strip() or len(lines[last]) - len(lines[last].lstrip()) > depth):
        last += 1
    offset = sum(map(len, lines[:first]))
    pattern = r"\s+".join(map(re.escape, part.split()))
    spans = [
        _Span(offset + match.start(), offset + match.end())
        for match in re.finditer(pattern, "".join(lines[first:last]))
    ]
    return _only(spans, anchor, part)


def _only(spans: list[_Span], anchor: Anchor, part: str) -> _Span:
    if len(spans) != 1:
        raise GuardError(f"{_place(anchor)}: what follows has {part!r} {len(spans)} times, and should have it once")
    return spans[0]


def _check_names(text: str, anchor: Anchor, without: str) -> None:
    """A name that was changed since would fail each test with a NameError, and so pass for a guard that is missed."""
    words = set(_WORD.findall(text))
    used = {token.string for token in _tokens(f"({without}\n)") if token.type == tokenize.NAME}
    if unknown := sorted(used - words - _BUILTINS):
        raise GuardError(f"{_place(anchor)}: {', '.join(unknown)} isn't a name of this file: adapt `without`")
