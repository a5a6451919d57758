"""Loggers, ids and counters, where programs for the App Framework look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.observability.context import (
    CorrelationContext,
    ExecutionContext,
    get_correlation_context,
    get_execution_context,
    set_correlation_context,
)
from application_sdk.observability.logger_adaptor import AtlanLoggerAdapter, get_logger

__all__ = [
    "AtlanLoggerAdapter",
    "CorrelationContext",
    "ExecutionContext",
    "get_correlation_context",
    "get_execution_context",
    "get_logger",
    "metrics",
    "set_correlation_context",
]


if TYPE_CHECKING:
    from application_sdk.observability import metrics as metrics
else:

    def __getattr__(name):
        if name == "metrics":
            from importlib import import_module

            return import_module("application_sdk.observability.metrics")
        from application_sdk.lazy_attributes import load

        return load(__name__, name, {})
