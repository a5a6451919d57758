"""Refuses I/O in a route, by Python's audit events: they see through any library and any alias.

An audit hook can't be removed. This one is added when the first route of a process runs and does nothing for anybody
else's code.
"""

from __future__ import annotations

import sys
from typing import Final

from application_sdk.replay.guard.active import guarded_route
from application_sdk.replay.guard.callers import reads_on_behalf_of_tools

_FILES: Final = "A file may be another one, or gone, in a replay. Move this into a @task"
_WORDS: Final[dict[str, str]] = {
    "open": "open({0!r})",
    "os.listdir": "os.listdir({0!r})",
    "os.scandir": "os.scandir({0!r})",
    "subprocess.Popen": "process {0!r} started",
    "os.system": "os.system({0!r})",
    "socket.connect": "connection to {1!r} opened",
    "socket.getaddrinfo": "name {0!r} looked up",
    "builtins.input": "input()",
}
_REFUSED: Final = frozenset(
    {
        *_WORDS,
        "os.chdir", "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.getxattr", "os.kill", "os.killpg",
        "os.link", "os.listxattr", "os.mkdir", "os.posix_spawn", "os.putenv", "os.remove", "os.removexattr",
        "os.rename", "os.rmdir", "os.setxattr", "os.spawn", "os.startfile", "os.symlink", "os.truncate",
        "os.unsetenv", "os.utime", "fcntl.flock", "fcntl.lockf", "mmap.__new__", "pty.spawn", "shutil.copyfile",
        "shutil.move", "shutil.rmtree", "signal.pthread_kill", "socket.__new__", "socket.bind", "socket.gethostbyaddr",
        "socket.gethostbyname", "socket.gethostname", "sqlite3.connect", "syslog.syslog", "tempfile.mkdtemp",
        "tempfile.mkstemp", "webbrowser.open", "_thread.start_new_thread", "_thread.start_joinable_thread",
    }
)  # fmt: skip

_added = False


def watch() -> None:
    """Add the hook, once per process."""
    global _added
    if not _added:
        _added = True
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[object, ...]) -> None:
    if event not in _REFUSED:
        return
    route = guarded_route()
    if route is None or (event == "open" and _is_harmless(args[0])) or reads_on_behalf_of_tools():
        return
    words = _WORDS.get(event)
    try:
        what = words.format(*args) if words is not None else event
    except Exception:  # noqa: BLE001 - the repr of an argument is anybody's code
        what = event
    if event == "open":
        route.refuse(f"{what} in the route", _FILES)
    route.refuse(f"{what} in the route")


def _is_harmless(file: object) -> bool:
    """Whether an opened file is one that no plan can rest on."""
    if isinstance(file, int):
        return True  # Open already, by means that are refused: a process that is about to start, for one.
    zones = sys.modules.get("zoneinfo")
    # Its C code reads time zones itself, so no frame of the module's is there to be seen.
    return isinstance(file, str) and zones is not None and file.startswith(tuple(f"{at}/" for at in zones.TZPATH))
