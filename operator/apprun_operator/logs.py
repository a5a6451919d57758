"""How the operator's log lines look: for people, or one JSON object a line for collectors."""

from __future__ import annotations

import json
import logging

from typing_extensions import override

from apprun_operator.observe.times import rfc3339


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message and, where there is one, the traceback."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, style: str) -> None:
    """Log to standard error. kopf's own lines only from WARNING on: its events are ours to tell of."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else plain)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
