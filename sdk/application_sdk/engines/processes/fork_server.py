"""The process that attempts are forked from. It has the app imported, so an attempt costs a fork
and no import. Where the app can't be forked (`forkable`), it starts again without the app, and each
attempt imports it.

`executor` starts it with a socket, over which it gets a number and a file descriptor for each fork,
and reports which numbers started and ended. It has no threads and holds no state of a run. When the
socket closes it kills what it has forked and ends. An engine has a module of its own as the
program, which calls `serve_forks`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
from typing import Final, NoReturn

from application_sdk.app.loading import AppLoadError
from application_sdk.engines.processes.attempt_process import AttemptHost, run_attempt_process
from application_sdk.engines.processes.forkable import ImportBaseline, reseed_numpy
from application_sdk.engines.processes.source import AppSource

FORK_REQUEST: Final = struct.Struct("!Q")
FORK_SERVER_VARIABLE: Final = "APPRUN_FORKER"
"""Set in this process and its children. `run_dev_combined` refuses to start a run in them."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def serve_forks(module: str, host: AttemptHost) -> NoReturn:
    """The whole of `python -m MODULE CONTROL_FD ENTRY DIRECTORY [REASON]`.

    With a reason it doesn't import the app: each attempt does, in a process forked from a clean
    one.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    source, reason = AppSource(sys.argv[2], sys.argv[3]), "".join(sys.argv[4:])
    os.environ[FORK_SERVER_VARIABLE] = "1"
    sys.path[0] = source.directory
    if not reason:
        _load(source, control, module)
    # All attempts share the memory of what is loaded now; the collector would unshare it by
    # touching it.
    gc.collect()
    gc.freeze()
    gc.disable()
    _ForkServer(control, source, reason, host).serve()
    os._exit(0)


def _load(source: AppSource, control: socket.socket, module: str) -> None:
    baseline = ImportBaseline()
    try:
        source.load()
    except AppLoadError:
        pass  # Each attempt meets the same error, and reports it.
    reasons = baseline.reasons()
    # guard: fork-needs-clean-app - forking a process with threads or open connections breaks in the
    # child
    if reasons:
        # The same process, from its beginning: nothing of what can't be forked survives it, and
        # requests that were sent meanwhile are still in the socket.
        control.set_inheritable(True)
        arguments = [str(control.fileno()), source.entry, source.directory, " and ".join(reasons)]
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


class _ForkServer:
    def __init__(self, control: socket.socket, source: AppSource, reason: str, host: AttemptHost) -> None:
        self._control = control
        self._host = host
        self._reason = reason
        self._source = source
        self._children: dict[int, int] = {}
        self._pid = os.getpid()
        # Loaded before any fork: a child shouldn't have to look for the C library.
        self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        if self._prctl is not None:
            # Processes that a task leaves behind become children of this one, which reaps them: in
            # a pod nothing else does.
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def serve(self) -> None:
        """Fork and reap until the socket is closed."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._send_line(f"ready {self._reason}")
        while True:
            control = self._control.fileno()
            ready, _, _ = select.select([control, reader], [], [])
            if reader in ready:
                os.read(reader, 4096)
                self._reap()
            if control in ready and not self._take_request():
                break
        for pid in self._children:
            _kill_group(pid)
            self._host.ended(pid)

    def _take_request(self) -> bool:
        try:
            content, files, _, _ = socket.recv_fds(self._control, FORK_REQUEST.size, 1)
        except ConnectionError:
            return False
        if not content or not files:
            return False
        (number,) = FORK_REQUEST.unpack(content)
        pid = os.fork()
        if pid == 0:
            self._become_child(files[0])
        os.close(files[0])
        # The child does this too: so the group exists before anything kills it, whichever comes
        # first.
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass
        self._children[pid] = number
        self._send_line(f"started {number} {pid}")
        return True

    def _become_child(self, file: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.setpgid(0, 0)
            if self._prctl is not None:
                self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._pid:
                os._exit(1)
            self._control.close()
            reseed_numpy()
            run_attempt_process(socket.socket(fileno=file), self._source, self._host)
        except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second fork server
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._children.pop(pid, None)
            if number is not None:
                # Processes that a task has started and left end with it, as they would in a pod.
                _kill_group(pid)
                self._host.ended(pid)
                self._send_line(f"ended {number} {os.waitstatus_to_exitcode(status)}")

    def _send_line(self, line: str) -> None:
        try:
            self._control.sendall(f"{line}\n".encode())
        except OSError:
            pass  # The engine is gone; the next look at the socket sees it.


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # macOS answers a group of zombies with the second.
