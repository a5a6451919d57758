"""The completion of `kubectl apprun`: kubectl starts `kubectl_complete-apprun` with the words typed so far.

The words are completed by the command line itself, in the way in which typer completes them for fish.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from application_sdk.cli.program import run_program
from application_sdk.cli.target import PLACE_VARIABLE

_NO_FILES: Final = ":4"
_FILES: Final = ":0"
"""What kubectl takes from the last line: whether the shell is to offer files."""


def candidates(words: Sequence[str]) -> str:
    """The completions of the last of `words`, which are the arguments of `kubectl apprun` so far.

    In the format of kubectl: one a line, with a description after a tab, and a directive in the last line."""
    *before, incomplete = words or [""]
    # typer has the same format for fish.
    variables = {
        PLACE_VARIABLE: "cluster",
        "_APPRUN_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join(['apprun', *before])} {incomplete}",
    }
    output = io.StringIO()
    with _environment(variables), contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        run_program([])
    lines = [line for line in output.getvalue().splitlines() if line and line != incomplete]
    return "".join(f"{line}\n" for line in [*lines, _NO_FILES if lines else _FILES])


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    # Restored afterwards: an `apprun` that this process starts later would complete words instead of running.
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
