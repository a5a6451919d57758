"""Code that kills the process that it runs in, in a child of the test's process."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

from application_sdk.engines.local.events import Committed, Event, Observer


def in_child(body: Callable[[], object]) -> int:
    """Run `body` in a child process, to be killed in there. Returns its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def killing(after_commits: int) -> Observer:
    """Kills the process that executes a local run, right after so many commits."""
    remaining = after_commits

    def observe(notice: Event) -> None:
        nonlocal remaining
        if isinstance(notice, Committed):
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return observe
