"""Log lines: one JSON object each, with the same words from operator, driver and task.

Pods and operator write them, the operator and the command line read what was kept of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from application_sdk.wire.digest import JSON

NAMESPACE: Final = "namespace"
RUN: Final = "run"
ROLE: Final = "role"
TASK: Final = "task"
APP_TASK: Final = "appTask"
ATTEMPT: Final = "attempt"
CONTEXT: Final = (NAMESPACE, RUN, ROLE, TASK, APP_TASK, ATTEMPT)
"""What a line is about, as far as it is about a run: the AppRun; driver or task; the task's name in
the code; its AppTask; the attempt's number."""

SOURCE_APPRUN: Final = "apprun"
SOURCE_APP: Final = "app"
SOURCE_STDOUT: Final = "stdout"
SOURCE_STDERR: Final = "stderr"
"""Who wrote a line: AppRun itself, a logger of the app (or of a library that it uses), or a `print`
of the app's."""

LOG_TAIL_BYTES: Final = 8 * 1024
"""How much of a failed attempt's log is kept on its AppTask."""


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """The call that a line is about. Empty, and 0, as far as the line doesn't name it."""

    run: str
    app_task: str
    attempt: int


def line(
    time: str,
    level: str,
    logger: str,
    source: str,
    message: str,
    context: Mapping[str, JSON],
    extra: Mapping[str, JSON] | None = None,
    traceback: str = "",
) -> str:
    """One line, without its end. `extra` is what the app adds: its names never take the place of
    ours."""
    entry: dict[str, JSON] = {
        "time": time,
        "level": level,
        "logger": logger,
        "source": source,
        "message": message,
        **context,
    }
    if traceback:
        entry["traceback"] = traceback
    if extra:
        entry = {**extra, **entry}
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str)


def plain(text: str) -> str:
    """Lines as people read them: what is one of ours as time, level, logger and message, anything
    else as it is."""
    return "\n".join(map(_plain_line, text.split("\n")))


def tail(text: str, limit: int = LOG_TAIL_BYTES) -> str:
    """The end of a text, in whole lines if it has any there, in at most `limit` bytes."""
    content = text.encode("utf-8", "replace")
    if len(content) <= limit:
        return content.decode("utf-8")
    kept = content[len(content) - limit :]
    cut = kept.find(b"\n")
    return kept[cut + 1 if 0 <= cut < limit // 2 else 0 :].decode("utf-8", "ignore")


def origin_of(text: str) -> LineOrigin | None:
    """The call that a line is about; None for text that isn't one of our lines."""
    entry = _entry(text)
    if entry is None:
        return None
    run, app_task, attempt = (entry.get(name) for name in (RUN, APP_TASK, ATTEMPT))
    return LineOrigin(
        run if isinstance(run, str) else "",
        app_task if isinstance(app_task, str) else "",
        attempt if isinstance(attempt, int) else 0,
    )


def _entry(text: str) -> dict[str, JSON] | None:
    """A line's fields; None for text that isn't one of our lines."""
    if not text.startswith("{"):
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    ours = isinstance(entry, dict) and {"time", "level", "logger", "message"} <= entry.keys()
    return entry if ours else None


def _plain_line(text: str) -> str:
    entry = _entry(text)
    if entry is None:
        return text
    text = str(entry["message"])
    if entry.get("source") not in (SOURCE_STDOUT, SOURCE_STDERR):
        text = f"{str(entry['time'])[11:19]} {entry['level']} {entry['logger']}: {text}"
    trace = entry.get("traceback")
    return f"{text}\n{trace.rstrip()}" if isinstance(trace, str) and trace else text
