"""`python -m application_sdk.engines.kubernetes.task_fork_server`: what the attempts of driver
tasks are forked from.

A fresh interpreter beside the driver: nothing of the route, of its guard or of the driver's
connections is in it. Each attempt has a folder of its own to work in, which goes with it, and fails
by itself when it wants more memory than the driver's container has left.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from application_sdk.attempt.state import NoState
from application_sdk.engines.kubernetes.mounted_secrets import register_mounted_secrets
from application_sdk.engines.processes.fork_server import serve_forks
from application_sdk.execution import logs
from application_sdk.wire import names
from application_sdk.wire.pod import LOG_FORMAT_VARIABLE, LOG_LEVEL_VARIABLE

if TYPE_CHECKING:
    from application_sdk.attempt.state import AttemptState
    from application_sdk.wire.digest import JSONObject

MODULE: Final = "application_sdk.engines.kubernetes.task_fork_server"
CGROUP: Final = Path("/sys/fs/cgroup")
KEPT_BYTES: Final = 16 * 1024 * 1024
"""What an attempt has to leave to the driver and to other attempts."""
LEAST_BYTES: Final = 32 * 1024 * 1024
"""An attempt may always have so much: below that it could do nothing at all."""


class DriverHost:
    """Implements `processes.attempt_process.AttemptHost` for driver tasks."""

    def begin(self, work: JSONObject) -> None:
        context = cast("JSONObject", work["context"])
        as_json = os.environ.get(LOG_FORMAT_VARIABLE, "").lower() != "text"
        logs.set_up(context, as_json=as_json, level=os.environ.get(LOG_LEVEL_VARIABLE, "").upper())
        register_mounted_secrets(Path(names.POD_DIRECTORY), os.environ)
        folder = _folder(os.getpid())
        folder.mkdir(0o700, exist_ok=True)
        os.chdir(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        self.bound_memory()

    def bound_memory(self) -> None:
        """What comes first where the container runs out of memory: here the attempt, not the driver."""
        limit_memory(memory_left(CGROUP))

    def state(self, work: JSONObject, app: str) -> AttemptState:
        # guard: driver-task-no-state - state would be accepted and never kept
        return NoState()

    def ended(self, pid: int) -> None:
        shutil.rmtree(_folder(pid), ignore_errors=True)


def _folder(pid: int) -> Path:
    return Path(tempfile.gettempdir(), f"apprun-task-{pid}")


def memory_left(cgroup: Path) -> int | None:
    """Bytes that the container may still use; None where nothing limits it, or nobody says."""
    try:
        limit = (cgroup / "memory.max").read_text("ascii").strip()
        used = int((cgroup / "memory.current").read_text("ascii"))
        # The page cache counts as used, and the kernel gives it back before anything is killed.
        cached = next(
            (int(line.split()[1]) for line in (cgroup / "memory.stat").read_text("ascii").splitlines()
             if line.startswith("inactive_file ")), 0)  # fmt: skip
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(int(limit) - used + cached, 0)


def limit_memory(left: int | None) -> None:
    """Have this process meet a MemoryError before the kernel ends the whole container, and the
    route with it: where a container runs out of memory, kubelet has all of its processes killed."""
    # guard: driver-task-memory - the kernel would end the whole driver
    if left is None or sys.platform != "linux":
        return
    import resource

    own = _data_bytes()
    limit = own + max(left - KEPT_BYTES, LEAST_BYTES)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process by now."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    serve_forks(MODULE, DriverHost())
