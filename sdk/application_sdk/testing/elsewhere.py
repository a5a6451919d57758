"""Replays a run in other processes, each with a hash seed of its own: for `check_durability`.

What differs between two processes of one machine differs between two pods as well, and no guard can see it.
Run as a program, this module is the other process.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from application_sdk.app import App
from application_sdk.execution.export import ExportedRun
from application_sdk.testing.replaying import ReplayError, replay

TIMEOUT_SECONDS = 120


def can_be_imported(app: type[App]) -> bool:
    """Whether another process can get at the class."""
    filename = getattr(sys.modules.get(app.__module__), "__file__", None)
    return "<locals>" not in app.__qualname__ and isinstance(filename, str) and Path(filename).is_file()


def replay_elsewhere(app: type[App], exported: ExportedRun, processes: int) -> Iterator[tuple[str, str | None]]:
    """Hash seed and problem, or None, for each process in which the app could be imported."""
    document = json.dumps(
        {
            "path": sys.path,
            "module": app.__module__,
            "file": sys.modules[app.__module__].__file__,
            "class": app.__qualname__,
            "ledger": exported.to_json(),
        }
    )
    children = [(seed, _start(seed)) for seed in _seeds(processes)]
    try:
        for seed, child in children:
            answer, _ = child.communicate(document, timeout=TIMEOUT_SECONDS)
            # A module that can't be imported a second time (it wants an argument, or a device) proves nothing.
            if child.returncode == 0:
                yield seed, json.loads(answer.rpartition("\n")[2])
    finally:
        for _, child in children:
            if child.poll() is None:
                child.kill()
                child.communicate()


def _seeds(count: int) -> list[str]:
    own = os.environ.get("PYTHONHASHSEED")
    return [str(seed) for seed in range(1, count + 2) if str(seed) != own][:count]


def _start(seed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name],
        env={**os.environ, "PYTHONHASHSEED": seed},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _answer(document: Mapping[str, Any]) -> str | None:
    sys.path[:] = document["path"]
    found: object = _module(document["module"], document["file"])
    for part in str(document["class"]).split("."):
        found = getattr(found, part)
    try:
        replay(cast("type[App]", found), ExportedRun.from_json(document["ledger"]))
    except ReplayError as error:
        return str(error)
    return None


def _module(name: str, filename: str) -> ModuleType:
    if name != "__main__":
        try:
            return importlib.import_module(name)
        except ImportError:
            pass  # A test runner may have loaded it by its file alone.
    spec = importlib.util.spec_from_file_location("__apprun_main__" if name == "__main__" else name, filename)
    if spec is None or spec.loader is None:
        raise ImportError(f"{filename} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    # The answer is the last line: what is imported may print.
    print("\n" + json.dumps(_answer(json.load(sys.stdin))), end="")  # noqa: T201
