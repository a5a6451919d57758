"""Whether I/O in a route is done for what every program may do there: imports, logging, tracebacks, debuggers."""

from __future__ import annotations

import sys
from types import FrameType

from application_sdk.execution.source_lines import is_boundary

_TOOLS = frozenset(
    {
        "importlib", "zipimport", "pkgutil", "_frozen_importlib", "_frozen_importlib_external",
        "linecache", "traceback", "warnings", "weakref", "logging", "zoneinfo", "inspect",
        "pdb", "bdb", "pydevd", "_pydevd_bundle", "debugpy", "coverage", "_pytest", "hypothesis",
    }
)  # fmt: skip


def reads_on_behalf_of_tools() -> bool:
    """Whether one of these is at work between the route's loop and the code that asks."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and not is_boundary(frame):
        name: object = frame.f_globals.get("__name__")
        if isinstance(name, str) and name.partition(".")[0] in _TOOLS:
            return True
        if frame.f_code.co_name == "__del__":
            return True  # The garbage collector runs when it likes, on things that are none of the route's.
        frame = frame.f_back
    return False
