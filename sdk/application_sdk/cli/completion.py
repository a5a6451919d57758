"""What shells complete beside options: names of runs, apps, contexts and namespaces.

Quick or not at all: a cluster that doesn't answer within a second completes nothing, and nothing here is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from application_sdk.cli.cluster.access import find_access
from application_sdk.cli.cluster.api import CORE, Api
from application_sdk.cli.errors import InputError
from application_sdk.cli.program import run_program
from application_sdk.cli.sources.selection import PLACE, Where, machine, where_of
from application_sdk.errors import AppError
from application_sdk.wire import names
from application_sdk.wire.printable import is_printable

PATIENCE_SECONDS: Final = 1.0


_NO_FILES: Final = ":4"
_FILES: Final = ":0"
"""What kubectl takes from the last line: whether the shell is to offer files."""


def candidates(words: Sequence[str]) -> str:
    """What may stand in the place of the last of `words`, the arguments of `kubectl apprun` so far. As kubectl wants it
    told: one a line, with a description after a tab."""
    *before, incomplete = words or [""]
    # typer tells the same to fish.
    asked = {
        PLACE: "cluster",
        "_APPRUN_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join(['apprun', *before])} {incomplete}",
    }
    told = io.StringIO()
    with _environment(asked), contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
        run_program([])
    lines = [line for line in told.getvalue().splitlines() if line and line != incomplete]
    return "".join(f"{line}\n" for line in [*lines, _NO_FILES if lines else _FILES])


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    # Taken back: an `apprun` that this process starts later would complete words in place of what it is asked to do.
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


def runs(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Of the place that the options name so far; of this machine when they name none."""
    where = _where(params)
    if not where.cluster:
        return _begin(machine().names(), incomplete)
    return _begin(_quickly(where, lambda api: _names(api, api.path(names.APP_RUNS))), incomplete)


def apps(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Apps of the cluster."""
    return _begin(_quickly(_where(params), lambda api: _names(api, api.path(names.APPS))), incomplete)


def namespaces(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Namespaces of the cluster."""
    return _begin(_quickly(_where(params), lambda api: _names(api, f"{CORE}/namespaces")), incomplete)


def contexts(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    from application_sdk.cli.cluster.access import context_names

    try:
        return _begin(context_names(_where(params), os.environ), incomplete)
    except AppError:
        return []


def _where(params: Mapping[str, Any]) -> Where:
    try:
        return where_of(params.get("context"), params.get("namespace"), params.get("kubeconfig"), params.get("cluster"))
    except InputError:
        return Where()


def _quickly(where: Where, ask: Callable[[Api], list[str]]) -> list[str]:
    try:
        return ask(Api(find_access(where, os.environ), PATIENCE_SECONDS))
    except AppError:
        return []


def _names(api: Api, path: str) -> list[str]:
    return [str(found["metadata"]["name"]) for found in api.items(path)]


def _begin(found: list[str], incomplete: str) -> list[str]:
    # A shell writes them to the terminal, or into the command line, as they are.
    return [name for name in found if name.startswith(incomplete) and is_printable(name)]
