"""Writes results to standard output and everything else to standard error, as text or as JSON.

All of it passes through `wire.printable`: a terminal gets no control characters but line ends, tabs and the colours
that are chosen here. That holds for pipes and files as well, since what goes through `tee`, `less -R` or `head` ends on
a terminal too; `-o json` has each text unaltered, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TextIO

from typing_extensions import override

from application_sdk.wire.digest import JSON
from application_sdk.wire.printable import is_printable, printable, printable_line

if TYPE_CHECKING:
    from rich.console import Console
    from yaml import SafeDumper, ScalarNode

_STYLES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


class Format(StrEnum):
    """The format of results, as `-o` names it."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"

    @property
    def for_programs(self) -> bool:
        """Whether a program reads the result, so that nothing else may stand beside it."""
        return self in (Format.JSON, Format.YAML)


@dataclass(slots=True)
class Session:
    """Settings of one command line that all its parts share."""

    format: Format = Format.TEXT
    plugin: bool = False
    """Whether it was typed as `kubectl apprun`."""


def escape_unencodable() -> None:
    """Have the standard streams write what their encoding lacks as escapes: no text is worth an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _can_encode_all(file: TextIO) -> bool:
    """Whether a file's encoding has every character. If not JSON and YAML have escapes of their own."""
    return (getattr(file, "encoding", None) or "utf-8").lower().startswith("utf")


def live_console() -> Console:
    """A console for live displays on standard error. Its callers pass printable text only."""
    from rich.console import Console

    file = _unwrapped(sys.stderr)
    return Console(file=file, soft_wrap=not file.isatty(), highlight=False)


def write_result(value: object, format: Format) -> None:
    """Write a result for programs: JSON or YAML."""
    if format is not Format.YAML:
        write_json(value)
        return
    import yaml

    # By way of JSON, so that YAML knows nothing else; long texts and multi-line ones stay readable.
    plain = json.loads(json.dumps(value))
    yaml.add_representer(str, _represent_text, yaml.SafeDumper)
    sys.stdout.write(
        printable(yaml.safe_dump(plain, sort_keys=False, allow_unicode=_can_encode_all(sys.stdout), width=120))
    )
    sys.stdout.flush()


def write_json(value: object) -> None:
    """Write a result as JSON, indented for people."""
    text = json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=not _can_encode_all(sys.stdout))
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def write_value(value: JSON) -> None:
    """Write a run's output as indented JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=not _can_encode_all(sys.stdout))
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def paint(text: str, style: str, file: TextIO | None = None) -> str:
    """Text in a style, where somebody sees it. For what is written line by line: rich costs a tenth of a second."""
    file = file or sys.stdout
    if not style or not file.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    codes = ";".join(_STYLES[part] for part in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def notify(text: str, style: str = "", *, mark: str = "", mark_style: str = "") -> None:
    """Write a line to standard error, for people; before it `mark`, in a style of its own."""
    file = _unwrapped(sys.stderr)
    file.write(_line(text, style, mark, mark_style, file))
    file.flush()


def echo(text: str = "", style: str = "", *, mark: str = "", mark_style: str = "") -> None:
    """Write a line of a result, for people; before it `mark`, in a style of its own."""
    sys.stdout.write(_line(text, style, mark, mark_style, sys.stdout))


def write_log(origin: str, style: str, text: str, file: TextIO) -> None:
    """Write a line of a log, with where it comes from."""
    file.write(_line(text, "", printable_line(origin), style, file, "  "))


def _line(text: str, style: str, mark: str, mark_style: str, file: TextIO, between: str = " ") -> str:
    # Colours come last: an escape sequence in the text itself is no longer one by then.
    before = f"{paint(printable(mark), mark_style, file)}{between}" if mark else ""
    # guard: terminal-control-characters - text from a cluster could move the cursor or rewrite what the terminal shows
    return f"{before}{paint(printable(text), style, file)}\n"


class _PrintableStream(io.TextIOBase):
    """Replaces `sys.stdout` and `sys.stderr` while an app's code runs in this process."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @override
    def writable(self) -> bool:
        return True

    @override
    def isatty(self) -> bool:
        # So that libraries leave out colours and cursor movements, which would be shown as escapes.
        return False

    @override
    def fileno(self) -> int:
        return self.stream.fileno()

    @override
    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)

    @override
    def flush(self) -> None:
        self.stream.flush()


@contextlib.contextmanager
def app_output() -> Iterator[None]:
    """Have what an app's module and its route print and log go to standard error, since it isn't the result."""
    stream = _PrintableStream(_unwrapped(sys.stderr))
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


def _unwrapped(stream: TextIO) -> TextIO:
    """The stream behind a `_PrintableStream`, for text of apprun's own, which has colours."""
    return stream.stream if isinstance(stream, _PrintableStream) else stream


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]], styles: dict[str, str] | None = None) -> None:
    """Write rows in columns, as wide as their content: a script can cut them, a person can read them.

    On a terminal lines are cut at its edge, and cells whose whole text is in `styles` are painted.
    """
    lines = [list(map(printable_line, line)) for line in (headings, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    width = terminal_width()
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()
        if width and len(text) > width:
            text = f"{text[: width - 1]}…"
        if number == 0:
            echo(text, "bold")
            continue
        for cell in line:
            style = (styles or {}).get(cell.strip())
            if style:
                text = text.replace(cell.strip(), paint(cell.strip(), style), 1)
        # Each cell is printable by now, and the colours must stay.
        sys.stdout.write(f"{text}\n")


def terminal_width() -> int:
    """Columns of the terminal that reads the results; 0 when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def timestamp(seconds: float | None) -> str | None:
    """A time as JSON has it: RFC 3339 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(seconds: float) -> str:
    """A time for people, in their zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    style = "|" if "\n" in text else None
    if not is_printable(text.replace("\n", "").replace("\t", "")):
        # The only style of YAML that has escapes.
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
