"""Formats the operator's log: as text for people, or as one JSON object a line for collectors.

The JSON fields are those of drivers and tasks too: `wire.logs`. A record's `extra` says what it is
about.
"""

from __future__ import annotations

import logging

from typing_extensions import override

from application_sdk.wire import logs
from application_sdk.wire.digest import JSON
from apprun_operator.observe.records import Key
from apprun_operator.observe.times import rfc3339


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = vars(record)
        return logs.line(
            rfc3339(record.created),
            record.levelname,
            record.name,
            logs.SOURCE_APPRUN,
            record.getMessage(),
            {name: fields[name] for name in logs.CONTEXT if name in fields},
            traceback=self.formatException(record.exc_info) if record.exc_info else "",
        )


def log_context(run: Key, app_task: str = "") -> dict[str, JSON]:
    """The `extra` of a record about a run, or about one of its AppTasks or that AppTask's pod."""
    context: dict[str, JSON] = {logs.NAMESPACE: run.namespace, logs.RUN: run.name}
    return {**context, logs.APP_TASK: app_task} if app_task else context


def set_up(level: str, style: str) -> None:
    """Log to standard error. kopf logs from WARNING on: the operator itself logs what it does about
    events."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else plain)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
