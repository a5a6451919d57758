"""How a pod starts the process that its attempts are forked from: with what a task's pod has."""

from __future__ import annotations

import os
from pathlib import Path

from application_sdk.engines.processes.source import AppSource
from application_sdk.wire import names


def source_of(entry: str) -> AppSource:
    """Where a process finds the app: in the mounted files, else where this pod was started."""
    mounted = Path(names.SOURCE_DIRECTORY).is_dir()
    return AppSource(entry, names.SOURCE_DIRECTORY if mounted else str(Path.cwd()))


def environment() -> dict[str, str]:
    """The environment of such a process, with the pod's import path."""
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, "PYTHONPATH": path}
    # The route's sets have an order that each replay repeats. A task's have none, as in a pod of its own.
    variables.pop("PYTHONHASHSEED", None)
    return variables
