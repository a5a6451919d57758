"""Who runs: ids for log lines and for requests to other services."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from application_sdk.execution import current


@dataclass(frozen=True)
class CorrelationContext:
    """The id that a run shares with those that it continued as."""

    correlation_id: str = ""


@dataclass(frozen=True)
class ExecutionContext:
    """What is executed here: a route (`workflow`), a task (`activity`), or neither."""

    execution_type: Literal["workflow", "activity", "none"] = "none"
    workflow_id: str = ""
    workflow_run_id: str = ""
    attempt: int = 0
    activity_type: str = ""


_correlation: ContextVar[CorrelationContext | None] = ContextVar("application_sdk.correlation", default=None)

set_correlation_context = _correlation.set
"""Have the current context say this id where no run says its own."""


def get_correlation_context() -> CorrelationContext | None:
    """The run's id; outside of a run what was set, or None."""
    runtime = current.get()
    return _correlation.get() if runtime is None else CorrelationContext(runtime.correlation_id)


def get_execution_context() -> ExecutionContext:
    """What is executed here."""
    runtime = current.get()
    if runtime is None:
        return ExecutionContext()
    if runtime.in_route:
        return ExecutionContext("workflow", runtime.run_id, runtime.run_id)
    context = runtime.task_context
    return ExecutionContext(
        "activity",
        runtime.run_id,
        runtime.run_id,
        attempt=getattr(context, "attempt", 0),
        activity_type=getattr(context, "task_name", ""),
    )
