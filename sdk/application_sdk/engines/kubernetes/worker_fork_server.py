"""`python -m application_sdk.engines.kubernetes.worker_fork_server`: the process from which the
calls of a warm pod are forked.

Each call has a process, a working directory and a folder for temporary files of its own, which are
removed after it. Unlike a driver task it has the app's state, the file store, and all secrets that
are mounted into the pod.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from application_sdk.attempt.heartbeat import write_tracebacks_to
from application_sdk.attempt.state import AttemptState, StateSnapshot
from application_sdk.engines.kubernetes.task_fork_server import DriverHost
from application_sdk.engines.processes.fork_server import serve_forks

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject

MODULE: Final = "application_sdk.engines.kubernetes.worker_fork_server"
OOM_SCORE: Final = "500"
"""A kernel that ends single processes of a container chooses that of a call, so the pod survives.
"""


class WorkerHost(DriverHost):
    """Implements `processes.attempt_process.AttemptHost` for warm pods."""

    @override
    def begin(self, work: JSONObject) -> None:
        super().begin(work)
        _keep_tracebacks(cast("str | None", work["log"]))

    @override
    def bound_memory(self) -> None:
        with contextlib.suppress(OSError):  # No Linux, or a kernel that doesn't allow it.
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, "ascii")

    @override
    def state(self, work: JSONObject, app: str) -> AttemptState:
        return AttemptState(StateSnapshot(cast("dict[str, JSONObject]", work["appState"] or {})))


def _keep_tracebacks(path: str | None) -> None:
    """Have the watchdog write its traceback to a file that the worker reads after the process."""
    if path is None:
        return
    with contextlib.suppress(OSError):  # A full disk is no reason for a call to fail.
        write_tracebacks_to(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))


if __name__ == "__main__":
    serve_forks(MODULE, WorkerHost())
