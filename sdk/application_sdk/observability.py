"""`get_logger`, where programs for the App Framework look for it: a logger for a module of an app."""

from __future__ import annotations

import logging

from application_sdk.app.log import app_logger


def get_logger(name: str | None = None) -> logging.LoggerAdapter[logging.Logger]:
    """A logger that names the run in each record and is silent while a route is replayed, as `self.logger` is."""
    return app_logger(name or "app")


__all__ = ["get_logger"]
