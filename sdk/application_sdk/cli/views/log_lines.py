"""Prints lines of logs, each with the task, the call and the attempt that wrote it."""

from __future__ import annotations

from typing import Final, TextIO
from zlib import crc32

from application_sdk.cli.output import write_log
from application_sdk.cli.sources.protocol import LogLine

_COLOURS: Final = ("cyan", "green", "magenta", "blue", "yellow")


def print_log_line(line: LogLine, file: TextIO, *, wide: bool = False) -> None:
    """Print a line of a log after its origin, which has the colour of its task."""
    style = _COLOURS[crc32(line.task.encode("utf-8", "surrogatepass")) % len(_COLOURS)]
    origin = f"{line.task}/{line.key[:8]}/{line.attempt}"
    if wide:
        origin = f"{line.at} {line.node} {origin}".strip()
    for text in line.text.split("\n"):
        write_log(origin, style, text, file)
    file.flush()
