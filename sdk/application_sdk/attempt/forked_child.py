"""Signal handling of processes that an attempt forks: Python's defaults, as after a fresh start.

The process of an attempt answers SIGTERM in its event loop, through a wakeup file descriptor that a fork shares. In a
forked child that answer is wrong twice over: on Python 3.11 a SIGTERM to the child reaches the *parent's* loop and
cancels the attempt, on 3.12 the child ignores it and whoever joins it waits without end.
"""

from __future__ import annotations

import os
import signal

_registered = False
_TERMINATION = {signal.SIGTERM}


def restore_signals_in_forked_children() -> None:
    """Every later `os.fork` of this process, also by `multiprocessing`, gives a child that SIGTERM ends. Idempotent."""
    global _registered
    if not _registered:
        _registered = True
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_restore)


def _hold() -> None:
    # A SIGTERM that reaches the child before its handlers are reset would still get the parent's answer.
    signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINATION)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINATION)


def _restore() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release()
