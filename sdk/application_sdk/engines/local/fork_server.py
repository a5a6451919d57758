"""`python -m application_sdk.engines.local.fork_server`: the process that attempts on this machine
are forked from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from application_sdk.attempt.state import AttemptState
from application_sdk.engines.local.private import open_private
from application_sdk.engines.local.state import SavedState
from application_sdk.engines.processes.fork_server import serve_forks
from application_sdk.execution import logs

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject

MODULE: Final = "application_sdk.engines.local.fork_server"


class LocalHost:
    """Implements `processes.attempt_process.AttemptHost`: output goes to the attempt's log, state
    to the shared file."""

    def begin(self, work: JSONObject) -> None:
        _redirect_output(cast("str", work["log"]))
        os.environ.update(cast("dict[str, str]", work["env"]))

    def state(self, work: JSONObject, app: str) -> AttemptState:
        return AttemptState(SavedState(Path(cast("str", work["state"])), app))

    def ended(self, pid: int) -> None:
        pass


def _redirect_output(path: str) -> None:
    try:
        log = open_private(Path(path), os.O_WRONLY | os.O_APPEND)
    except OSError:
        # A full disk, or a folder that somebody tidied up: no reason for a task to fail.
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # By line, so that a process that is killed leaves what it had printed.
    for stream in (sys.stdout, sys.stderr):
        # In the log's encoding, whatever the terminal's is: a task mustn't fail for what it prints.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    logs.set_up({}, as_json=False)


if __name__ == "__main__":
    serve_forks(MODULE, LocalHost())
