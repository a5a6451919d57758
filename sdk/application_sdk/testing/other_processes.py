"""Replays a run in other processes, each with a hash seed of its own: for `check_durability`.

What differs between two processes of one machine differs between two pods as well, and no guard can see it.
Run as a program, this module is the other process.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

from application_sdk.app import App
from application_sdk.replay.history import ExportedRun
from application_sdk.testing.check_budget import OutOfTimeError
from application_sdk.testing.gc_moments import collecting_often
from application_sdk.testing.nesting import NestedCheckError
from application_sdk.testing.replay_check import ReplayError, replay

TIMEOUT_SECONDS = 120


def can_be_imported(app: type[App]) -> bool:
    """Whether another process can get at the class."""
    filename = getattr(sys.modules.get(app.__module__), "__file__", None)
    return "<locals>" not in app.__qualname__ and isinstance(filename, str) and Path(filename).is_file()


def replay_elsewhere(
    app: type[App], exported: ExportedRun, processes: int, seconds: float | None = None
) -> Iterator[tuple[str, str | None]]:
    """Hash seed and problem, or None, for each process in which the app could be imported.

    Raises OutOfTimeError when a process gives no answer within `seconds`; each is ended with all that it has started.
    """
    timeout = TIMEOUT_SECONDS if seconds is None else min(seconds, TIMEOUT_SECONDS)
    document = json.dumps(
        {
            "path": sys.path,
            "module": app.__module__,
            "file": sys.modules[app.__module__].__file__,
            "class": app.__qualname__,
            "ledger": exported.to_json(),
        }
    )
    until = time.monotonic() + timeout
    children = [_Child.start(seed, document) for seed in _seeds(processes)]
    try:
        for child in children:
            if not child.wait(max(until - time.monotonic(), 0.0)):
                raise OutOfTimeError
            # A module that can't be imported a second time (it wants an argument, or a device) proves nothing.
            if child.process.returncode == 0:
                yield child.seed, child.answer()
    finally:
        for child in children:
            child.end()


@dataclass(frozen=True, slots=True)
class _Child:
    """Another process. It reads and writes files, since a process that its module starts may keep a pipe open."""

    seed: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    @classmethod
    def start(cls, seed: str, document: str) -> _Child:
        output = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        with tempfile.TemporaryFile() as input:
            input.write(document.encode())
            input.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name],
                env={**os.environ, "PYTHONHASHSEED": seed},
                stdin=input,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # A group of its own: whatever the imported module starts ends with it.
            )
        return cls(seed, process, output)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within that time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def answer(self) -> str | None:
        """The problem that it has found. The answer is its last line: what is imported may print."""
        self.output.seek(0)
        problem: str | None = json.loads(self.output.read().rpartition(b"\n")[2])
        return problem

    def end(self) -> None:
        """End it and all that its module has started."""
        # The group exists as long as one process of it does: a child that is gone may have left some behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.output.close()


def _seeds(count: int) -> list[str]:
    own = os.environ.get("PYTHONHASHSEED")
    return [str(seed) for seed in range(1, count + 2) if str(seed) != own][:count]


def _answer(document: Mapping[str, Any]) -> str | None:
    sys.path[:] = document["path"]
    found: object = _module(document["module"], document["file"])
    for part in str(document["class"]).split("."):
        found = getattr(found, part)
    try:
        with collecting_often():
            replay(cast("type[App]", found), ExportedRun.from_json(document["ledger"]))
    except ReplayError as error:
        return str(error)
    return None


def _module(name: str, filename: str) -> ModuleType:
    if name != "__main__":
        try:
            return importlib.import_module(name)
        except (ImportError, NestedCheckError):
            pass  # A test runner may have loaded it by its file alone.
    spec = importlib.util.spec_from_file_location("__apprun_main__" if name == "__main__" else name, filename)
    if spec is None or spec.loader is None:
        raise ImportError(f"{filename} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # A script that checks its app at module level has defined the app by then.
    with contextlib.suppress(NestedCheckError):
        spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    # Whoever waits for the answer may have been killed, and a module may wait for something at its top level.
    signal.alarm(TIMEOUT_SECONDS)
    # The answer is the last line: what is imported may print.
    print("\n" + json.dumps(_answer(json.load(sys.stdin))), end="")  # noqa: T201
