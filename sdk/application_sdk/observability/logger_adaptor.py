"""`get_logger`: a logger for a module of an app, silent while a route is replayed, as `self.logger`
is."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from typing_extensions import override

from application_sdk.app.log import AppLogger

_OF_LOGGING = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})


class AtlanLoggerAdapter(AppLogger):
    """Names the run in each record. Keywords that `logging` doesn't know are fields of the record:
    they stand behind its message as `key=value`, and in its `extra`."""

    def __init__(self, logger_name: str = "app", fields: dict[str, object] | None = None) -> None:
        super().__init__(logging.getLogger(logger_name), None)
        self._fields = fields or {}

    def bind(self, **fields: object) -> AtlanLoggerAdapter:
        """A logger that adds these fields to each of its records."""
        return AtlanLoggerAdapter(self.logger.name, {**self._fields, **fields})

    @override
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        fields = {**self._fields, **{name: kwargs.pop(name) for name in list(kwargs) if name not in _OF_LOGGING}}
        if fields:
            kwargs["extra"] = {"fields": fields, **(kwargs.get("extra") or {})}
            # The message is a %-format, which the fields aren't part of.
            msg = f"{msg} {' '.join(f'{name}={value}' for name, value in fields.items()).replace('%', '%%')}"
        return super().process(msg, kwargs)

    # Levels of the App Framework's own, which are INFO to everybody else.

    def activity(self, msg: str, *args: object, **kwargs: Any) -> None:
        self.info(msg, *args, **kwargs)

    def metric(self, msg: str, *args: object, **kwargs: Any) -> None:
        self.info(msg, *args, **kwargs)

    def tracing(self, msg: str, *args: object, **kwargs: Any) -> None:
        self.info(msg, *args, **kwargs)


def get_logger(name: str | None = None) -> AtlanLoggerAdapter:
    """A logger that names the run in each record and is silent while a route is replayed, as
    `self.logger` is."""
    return AtlanLoggerAdapter(name or "app")
