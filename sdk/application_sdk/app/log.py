"""The loggers behind `self.logger`: silent in replay, each record with the run's name."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from typing_extensions import override

from application_sdk.execution import current


class AppLogger(logging.LoggerAdapter[logging.Logger]):
    """Drops records while a route only repeats what a previous execution of it did, so that each line is logged
    once (and
    again only if a crash came right after it)."""

    @override
    def isEnabledFor(self, level: int) -> bool:
        runtime = current.get()
        return (runtime is None or not runtime.replaying) and super().isEnabledFor(level)

    @override
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        runtime = current.get()
        if runtime is not None:
            given = kwargs.get("extra") or {}
            kwargs["extra"] = {"run_id": runtime.run_id, "correlation_id": runtime.correlation_id, **given}
        return msg, kwargs


def app_logger(name: str) -> AppLogger:
    """The logger of the app of that name."""
    return AppLogger(logging.getLogger(name), None)
