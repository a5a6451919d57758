"""The ids that log lines share. `observability.context` has them."""

from application_sdk.observability.context import (
    CorrelationContext,
    get_correlation_context,
    set_correlation_context,
)

__all__ = ["CorrelationContext", "get_correlation_context", "set_correlation_context"]
