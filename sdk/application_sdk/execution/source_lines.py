"""Which line of the user's own code is at work: for messages and for the guard. It only reads frames."""

from __future__ import annotations

import os
import sys
from collections.abc import Container
from functools import lru_cache
from types import CodeType, FrameType, TracebackType
from typing import Final

_SDK: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120
_STDLIB: Final = os.path.dirname(os.path.abspath(os.__file__)) + os.sep  # noqa: PTH100, PTH120
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_boundaries: set[CodeType] = set()
_installed_apps: set[str] = set()


def is_sdk(filename: str) -> bool:
    """Whether a file belongs to this SDK."""
    return filename.startswith(_SDK)


@lru_cache(maxsize=4096)
def is_stdlib(filename: str) -> bool:
    """Whether a file is of the standard library."""
    return filename.startswith("<frozen ") or (
        filename.startswith(_STDLIB) and not any(part in filename for part in _INSTALLED)
    )


@lru_cache(maxsize=4096)
def is_user(filename: str) -> bool:
    """Whether a file is neither this SDK's, nor the standard library's, nor of an installed package (but for apps that
    were installed as one)."""
    if is_sdk(filename) or is_stdlib(filename):
        return False
    if filename.startswith(tuple(_installed_apps)):
        return True
    return not any(part in filename for part in _INSTALLED)


def treat_as_user_code(filename: str) -> None:
    """Count the installed package that a file belongs to as the user's own: the app lives in it."""
    for part in _INSTALLED:
        before, found, inside = filename.partition(part)
        if found:
            _installed_apps.add(before + found + inside.partition(os.sep)[0])
    is_user.cache_clear()


def stop_at(code: CodeType) -> None:
    """Make a function's frames an end of the search for user code: what called it is another program's business."""
    _boundaries.add(code)


def is_boundary(frame: FrameType) -> bool:
    """Whether a frame is of such a function."""
    return frame.f_code in _boundaries


def user_line() -> str:
    """`file:line` of the nearest frame of the user's own code; of the nearest foreign one if there is none."""
    return nearest_line(sys._getframe(1), _boundaries)  # noqa: SLF001


def nearest_line(frame: FrameType | None, boundaries: Container[CodeType] = ()) -> str:
    """`file:line` of the innermost frame of the user's own code, or of the innermost that isn't this SDK's. Frames from
    one of `boundaries` on are not looked at."""
    nearest: FrameType | None = None
    while frame is not None and frame.f_code not in boundaries:
        if is_user(frame.f_code.co_filename):
            return frame_line(frame)
        if nearest is None and not is_sdk(frame.f_code.co_filename):
            nearest = frame
        frame = frame.f_back
    return frame_line(nearest)


def frame_line(frame: FrameType | None) -> str:
    """`file:line` where a frame stands."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "unknown line"


def waiting_line(coroutine: object) -> str | None:
    """`file:line` of the innermost frame of the user's own code where a suspended coroutine waits."""
    found: str | None = None
    while coroutine is not None:
        frame: FrameType | None = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None and is_user(frame.f_code.co_filename):
            found = frame_line(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return found


def error_line(error: BaseException) -> str | None:
    """`file:line` of the innermost frame of the user's own code in a traceback."""
    found: str | None = None
    step: TracebackType | None = error.__traceback__
    while step is not None:
        if is_user(step.tb_frame.f_code.co_filename):
            found = f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}"
        step = step.tb_next
    return found
