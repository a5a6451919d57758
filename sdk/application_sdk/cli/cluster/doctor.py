"""`apprun doctor`: prints the results of `checks` and `probe`, and exits with 1 if one of them is an error."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Final

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster.checks import CheckResult, check_all, runtime_image
from application_sdk.cli.cluster.errors import NotAllowedError
from application_sdk.cli.cluster.namespace_checks import check_namespace
from application_sdk.cli.cluster.probe import probe
from application_sdk.cli.cluster.source import ClusterSource
from application_sdk.cli.output import Format, echo, write_result

_MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red"), "skipped": ("-", "dim")}
_TOPIC_WIDTH: Final = 13
_WIDTH: Final = 120


def examine(source: ClusterSource, format: Format, *, pod: bool) -> int:
    """Look at an installation. Returns the exit code. Raises NoClusterError when there is no cluster at all."""
    from importlib.metadata import version

    api, client_version = source.api, version("apprun")
    results: list[CheckResult] = []
    for result in check_all(api, client_version):
        results.append(result)
        _print(result, format)
    installed = not any(result.grade == "error" and result.topic in ("CRDs", "operator") for result in results)
    for result in check_namespace(api) if installed else ():
        results.append(result)
        _print(result, format)
    if pod and installed:
        try:
            image = runtime_image(api)
        except NotAllowedError:
            image = ""
        for result in probe(api, image, client_version):
            results.append(result)
            _print(result, format)
    wrong = sum(result.grade == "error" for result in results)
    if format.for_programs:
        write_result({"ok": not wrong, "checks": [_as_json(result) for result in results]}, format)
    elif wrong:
        echo(f"\n{wrong} thing{'s are' if wrong > 1 else ' is'} wrong", "red")
    else:
        echo("\nnothing is wrong", "green")
    return exit_codes.FAILED if wrong else exit_codes.SUCCEEDED


def _as_json(result: CheckResult) -> dict[str, str]:
    return {"topic": result.topic, "grade": result.grade, "said": result.message, "remedy": result.remedy}


def _print(result: CheckResult, format: Format) -> None:
    if format.for_programs:
        return
    mark, style = _MARKS[result.grade]
    width = min(shutil.get_terminal_size().columns, _WIDTH) if sys.stdout.isatty() else _WIDTH
    indent = " " * (_TOPIC_WIDTH + 4)
    lines = textwrap.wrap(result.message, width - len(indent), break_on_hyphens=False, break_long_words=False) or [""]
    echo(f"{result.topic:<{_TOPIC_WIDTH}}  {lines[0]}", mark=mark, mark_style=style)
    for line in lines[1:]:
        echo(f"{indent}{line}")
    if result.remedy:
        wrapped = textwrap.wrap(result.remedy, width - len(indent) - 2, break_on_hyphens=False, break_long_words=False)
        for number, line in enumerate(wrapped):
            echo(f"{indent}{'→ ' if number == 0 else '  '}{line}")
    sys.stdout.flush()
