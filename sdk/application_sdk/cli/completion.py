"""Completes names of runs, apps, contexts and namespaces in a shell.

A cluster that doesn't answer within a second completes nothing, and nothing here is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from application_sdk.cli.cluster.access import find_access
from application_sdk.cli.cluster.api import CORE, Api
from application_sdk.cli.errors import InputError
from application_sdk.cli.selection import local_source
from application_sdk.cli.target import Target, target_of
from application_sdk.errors import AppError
from application_sdk.wire import names
from application_sdk.wire.printable import is_printable

PATIENCE_SECONDS: Final = 1.0


def runs(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Runs of the source that the options name so far; of this machine if they name none."""
    target = _target(params)
    if not target.cluster:
        return _begin(local_source().names(), incomplete)
    return _begin(_query(target, lambda api: _names(api, api.path(names.APP_RUNS))), incomplete)


def apps(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Apps of the cluster."""
    return _begin(_query(_target(params), lambda api: _names(api, api.path(names.APPS))), incomplete)


def namespaces(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Namespaces of the cluster."""
    return _begin(_query(_target(params), lambda api: _names(api, f"{CORE}/namespaces")), incomplete)


def contexts(params: Mapping[str, Any], incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    from application_sdk.cli.cluster.access import context_names

    try:
        return _begin(context_names(_target(params), os.environ), incomplete)
    except AppError:
        return []


def _target(params: Mapping[str, Any]) -> Target:
    try:
        return target_of(
            params.get("context"), params.get("namespace"), params.get("kubeconfig"), params.get("cluster")
        )
    except InputError:
        return Target()


def _query(target: Target, ask: Callable[[Api], list[str]]) -> list[str]:
    try:
        return ask(Api(find_access(target, os.environ), PATIENCE_SECONDS))
    except AppError:
        return []


def _names(api: Api, path: str) -> list[str]:
    return [str(item["metadata"]["name"]) for item in api.items(path)]


def _begin(names: list[str], incomplete: str) -> list[str]:
    # A shell writes them to the terminal, or into the command line, as they are.
    return [name for name in names if name.startswith(incomplete) and is_printable(name)]
