"""`apprun doctor`: prints what `checks` and `probing` find, and ends with 1 when something is wrong."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import asdict
from typing import Final

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster.checks import Answer, check_all, runtime_image
from application_sdk.cli.cluster.errors import NotAllowedError
from application_sdk.cli.cluster.namespace_checks import check_namespace
from application_sdk.cli.cluster.probe import probe
from application_sdk.cli.cluster.source import ClusterPlace
from application_sdk.cli.output import Format, show, write_result

_MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red"), "skipped": ("-", "dim")}
_TOPIC_WIDTH: Final = 13
_WIDTH: Final = 120


def examine(place: ClusterPlace, format: Format, *, pod: bool) -> int:
    """Look at an installation. Returns the exit code. Raises NoClusterError when there is no cluster at all."""
    from importlib.metadata import version

    api, ours = place.api, version("apprun")
    found: list[Answer] = []
    for answer in check_all(api, ours):
        found.append(answer)
        _tell(answer, format)
    installed = not any(answer.grade == "error" and answer.topic in ("CRDs", "operator") for answer in found)
    for answer in check_namespace(api) if installed else ():
        found.append(answer)
        _tell(answer, format)
    if pod and installed:
        try:
            image = runtime_image(api)
        except NotAllowedError:
            image = ""
        for answer in probe(api, image, ours):
            found.append(answer)
            _tell(answer, format)
    wrong = sum(answer.grade == "error" for answer in found)
    if format.for_programs:
        write_result({"ok": not wrong, "checks": [asdict(answer) for answer in found]}, format)
    elif wrong:
        show(f"\n{wrong} thing{'s are' if wrong > 1 else ' is'} wrong", "red")
    else:
        show("\nnothing is wrong", "green")
    return exit_codes.FAILED if wrong else exit_codes.SUCCEEDED


def _tell(answer: Answer, format: Format) -> None:
    if format.for_programs:
        return
    mark, style = _MARKS[answer.grade]
    width = min(shutil.get_terminal_size().columns, _WIDTH) if sys.stdout.isatty() else _WIDTH
    indent = " " * (_TOPIC_WIDTH + 4)
    lines = textwrap.wrap(answer.said, width - len(indent), break_on_hyphens=False, break_long_words=False) or [""]
    show(f"{answer.topic:<{_TOPIC_WIDTH}}  {lines[0]}", mark=mark, mark_style=style)
    for line in lines[1:]:
        show(f"{indent}{line}")
    if answer.remedy:
        wrapped = textwrap.wrap(answer.remedy, width - len(indent) - 2, break_on_hyphens=False, break_long_words=False)
        for number, line in enumerate(wrapped):
            show(f"{indent}{'→ ' if number == 0 else '  '}{line}")
    sys.stdout.flush()
