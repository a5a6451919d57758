"""How the operator's log lines look: for people, or one JSON object a line for collectors.

In JSON the words are those that drivers and tasks use too: `wire.logs`. What a line is about comes with the record.
"""

from __future__ import annotations

import logging

from typing_extensions import override

from application_sdk.wire import logs
from application_sdk.wire.digest import JSON
from apprun_operator.observe.records import Key
from apprun_operator.observe.times import rfc3339


class JsonFormatter(logging.Formatter):
    """One object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        given = vars(record)
        return logs.line(
            rfc3339(record.created),
            record.levelname,
            record.name,
            logs.SOURCE_APPRUN,
            record.getMessage(),
            {name: given[name] for name in logs.CONTEXT if name in given},
            traceback=self.formatException(record.exc_info) if record.exc_info else "",
        )


def log_context(run: Key, app_task: str = "") -> dict[str, JSON]:
    """The `extra` of a record that is about a run, or about one of its AppTasks (or the pod of one)."""
    found: dict[str, JSON] = {logs.NAMESPACE: run.namespace, logs.RUN: run.name}
    return {**found, logs.APP_TASK: app_task} if app_task else found


def set_up(level: str, style: str) -> None:
    """Log to standard error. kopf's own lines only from WARNING on: its events are ours to tell of."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else plain)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
