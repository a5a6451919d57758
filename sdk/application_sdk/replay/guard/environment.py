"""What differs from process to process: environment variables, the file system's state, threads. Refused in a route.

So is what would wait for the outside: nothing there can come while the route's one thread stands still.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from application_sdk.execution.source_lines import is_stdlib, is_user
from application_sdk.replay.guard.active import guarded_route
from application_sdk.replay.guard.callers import reads_on_behalf_of_tools
from application_sdk.replay.guard.patches import Patch

_PASS_IT_IN = "Pass it in the run's input, or read it in a @task"
_FILE_QUESTIONS = ("stat", "lstat", "access", "readlink", "statvfs", "getcwd", "pipe")
_MACHINE_QUESTIONS = ("getpid", "getppid", "uname", "cpu_count", "getlogin", "getloadavg", "times", "sched_getaffinity")
_REACHING_OUT = (
    (_thread, ("start_new_thread",)),
    (os, ("wait", "wait3", "wait4", "waitid", "waitpid")),
    (select, ("select",)),
    (signal, ("signal", "alarm", "setitimer", "sigwait", "sigtimedwait", "pause")),
)
_USE_ASYNCIO = "Between branches, use what asyncio has: asyncio.Event, asyncio.Queue"
_ACT_AT_ONCE = frozenset({"http", "ssl", "subprocess", "tempfile", "urllib"})
"""Modules that look at settings in the environment first: refused is what they do next, which says more."""


def surroundings_patches() -> list[Patch]:
    """For `os.environ`, for questions to the file system that raise no audit event, and for threads."""
    environ = type(os.environ)
    return [
        *(
            Patch(environ, name, _environment(getattr(environ, name)))
            for name in ("__getitem__", "__iter__", "__len__", "__repr__", "__setitem__", "__delitem__")
        ),
        *(Patch(os, name, _question(name, getattr(os, name))) for name in _FILE_QUESTIONS if hasattr(os, name)),
        *(
            Patch(os, name, _question(name, getattr(os, name), f"Another pod answers otherwise. {_PASS_IT_IN}"))
            for name in _MACHINE_QUESTIONS
            if hasattr(os, name)
        ),
        *(
            Patch(owner, name, _question(name, getattr(owner, name), owner=owner.__name__))
            for owner, names in _REACHING_OUT
            for name in names
            if hasattr(owner, name)
        ),
        Patch(threading.Thread, "start", _start(threading.Thread.start)),
        Patch(threading.Condition, "wait", _wait(threading.Condition.wait)),
    ]


def _environment(real: Callable[..., object]) -> Callable[..., object]:
    def access(self: object, *args: object) -> object:
        route = guarded_route()
        # Libraries look at their switches at any time; what the plan rests on is what its own code reads.
        if route is not None and _asked_by_user(sys._getframe(1)) and not reads_on_behalf_of_tools():  # noqa: SLF001
            name = f"environment variable {args[0]!r}" if args else "os.environ"
            route.refuse(f"{name} in the route", f"Another pod may have another environment. {_PASS_IT_IN}")
        return real(self, *args)

    return access


def _asked_by_user(frame: FrameType | None) -> bool:
    while frame is not None and is_stdlib(frame.f_code.co_filename):
        module: object = frame.f_globals.get("__name__")
        if isinstance(module, str) and module.partition(".")[0] in _ACT_AT_ONCE:
            return False
        frame = frame.f_back
    return frame is not None and is_user(frame.f_code.co_filename)


def _question(name: str, real: Callable[..., object], *instead: str, owner: str = "os") -> Callable[..., object]:
    def ask(*args: object, **kwargs: object) -> object:
        route = guarded_route()
        if route is not None and _asked_by_user(sys._getframe(1)) and not reads_on_behalf_of_tools():  # noqa: SLF001
            shown = f"{owner}.{name}({args[0]!r})" if args else f"{owner}.{name}()"
            route.refuse(f"{shown} in the route", *instead)
        return real(*args, **kwargs)

    return ask


def _start(real: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start(self: threading.Thread) -> None:
        route = guarded_route()
        if route is not None and not reads_on_behalf_of_tools():
            route.refuse(f"thread {self.name!r} started in the route")
        real(self)

    return start


def _wait(real: Callable[..., bool]) -> Callable[..., bool]:
    """Events, queues, barriers and futures of threads all wait by it."""

    def wait(self: threading.Condition, timeout: float | None = None) -> bool:
        route = guarded_route()
        if route is not None and not reads_on_behalf_of_tools():
            route.refuse("waiting for a thread in the route", _USE_ASYNCIO)
        return real(self, timeout)

    return wait
