"""Progress lines on stderr, so that stdout stays free for what a command returns.

On a terminal a running step is one line that counts its seconds; elsewhere (CI, a log) it is a line at its start when
it turns out to be long, one every 20 seconds while it goes on, and one at its end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_HEARTBEAT_SECONDS = 20.0
_QUIET_SECONDS = 2.0
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_write_lock = threading.Lock()


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``0.4 s``, ``12.6 s``, ``6 min 30 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    return f"{rounded // 60} min {rounded % 60:02d} s"


def write_line(text: str) -> None:
    """Write one line of plain progress."""
    _emit(f"{text}\n")


def _emit(text: str) -> None:
    with _write_lock:
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Names what happens meanwhile and how long it took; a failure is marked and passes through."""
    started = time.monotonic()
    done = threading.Event()
    live = sys.stderr.isatty()
    ticker = threading.Thread(target=_tick_live if live else _tick_plain, args=(title, started, done), daemon=True)
    ticker.start()
    mark = "✗"
    try:
        yield
        mark = "✓"
    finally:
        done.set()
        ticker.join()
        erase = "\r\033[K" if live else ""
        _emit(f"{erase}  {mark} {title} ({duration(time.monotonic() - started)})\n")


def _tick_live(title: str, started: float, done: threading.Event) -> None:
    frame = 0
    while not done.wait(0.1):
        frame = (frame + 1) % len(_FRAMES)
        _emit(f"\r\033[K  {_FRAMES[frame]} {title} … {duration(time.monotonic() - started)}")


def _tick_plain(title: str, started: float, done: threading.Event) -> None:
    if done.wait(_QUIET_SECONDS):
        return
    _emit(f"  … {title}\n")
    while not done.wait(_HEARTBEAT_SECONDS):
        _emit(f"  … {title}: {duration(time.monotonic() - started)} so far\n")
