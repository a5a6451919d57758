"""What an app is written with: `App`, `task`, `entrypoint`, the errors, and the durable helpers of the route.

Every pod imports this package, so it pulls in nothing but contracts and definitions; what executes them is loaded where
it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from application_sdk.app.base import App
from application_sdk.app.context import AppContext
from application_sdk.app.durable import now, sleep, uuid4, wait_condition
from application_sdk.app.entrypoint import entrypoint
from application_sdk.app.task import task
from application_sdk.errors import AppError, NonRetryableError, RetryableError, TaskFailedError
from application_sdk.execution.retry import RetryPolicy

if TYPE_CHECKING:
    from application_sdk.app.registry import AppRegistry, TaskRegistry
    from application_sdk.app.unsupported import query, signal, update
    from application_sdk.contracts.base import Input, Output, OutputStatus
    from application_sdk.execution.reuse import ReusePolicy

__all__ = [
    "App",
    "AppContext",
    "AppError",
    "AppRegistry",
    "Input",
    "NonRetryableError",
    "Output",
    "OutputStatus",
    "RetryPolicy",
    "RetryableError",
    "ReusePolicy",
    "TaskFailedError",
    "TaskRegistry",
    "entrypoint",
    "now",
    "query",
    "signal",
    "sleep",
    "task",
    "update",
    "uuid4",
    "wait_condition",
]

_LATER = {
    "application_sdk.contracts.base": "Input Output OutputStatus",
    "application_sdk.execution.reuse": "ReusePolicy",
    "registry": "AppRegistry TaskRegistry",
    "unsupported": "query signal update",
}


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, _LATER)
