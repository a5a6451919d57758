"""What `apprun` writes: results to standard output, everything else to standard error, each as text or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from application_sdk.engines.local.words import printable
from application_sdk.wire.digest import JSON

if TYPE_CHECKING:
    from rich.console import Console


class Format(StrEnum):
    """Of results."""

    TEXT = "text"
    JSON = "json"


@dataclass(slots=True)
class Session:
    """What the options of one command line say for all of it."""

    format: Format = Format.TEXT


def results() -> Console:
    """For results. Wraps and colours nothing unless a person reads it."""
    from rich.console import Console

    return Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty(), highlight=False)


def notes() -> Console:
    """For what happens on the way, and for errors."""
    from rich.console import Console

    return Console(file=sys.stderr, soft_wrap=not sys.stderr.isatty(), highlight=False)


def write_json(value: object) -> None:
    """Write a result as JSON, indented for people."""
    text = json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False)
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def write_value(value: JSON) -> None:
    """Write a run's output as indented JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows in columns, as wide as their content: a script can cut them, a person can read them."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    console = results()
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        text = "  ".join(cells).rstrip()
        if sys.stdout.isatty() and len(text) > console.width:
            text = f"{text[: console.width - 1]}…"
        console.print(text, style="bold" if number == 0 else None, markup=False)


def timestamp(seconds: float | None) -> str | None:
    """A time as JSON has it: RFC 3339 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(seconds: float) -> str:
    """A time for people, in their zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
