"""What an app is written with: `App`, `task`, `entrypoint`, the errors, and the durable helpers of the route.

Every pod imports this package, so it pulls in nothing but contracts and definitions; what executes them is loaded where
it is needed.
"""

from __future__ import annotations

from typing import NoReturn

from application_sdk.app.base import App
from application_sdk.app.context import AppContext
from application_sdk.app.durable import now, sleep, uuid4, wait_condition
from application_sdk.app.entrypoint import entrypoint
from application_sdk.app.interaction import query, signal, update
from application_sdk.app.task import task
from application_sdk.errors import AppError, NonRetryableError, RetryableError, TaskFailedError
from application_sdk.execution.retry import RetryPolicy

__all__ = [
    "App",
    "AppContext",
    "AppError",
    "NonRetryableError",
    "RetryPolicy",
    "RetryableError",
    "TaskFailedError",
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

_CLIENT = "It is Atlan's API client; call that API from a @task with a client of your own"
ATLAN_ONLY = {"AtlanClientMixin": _CLIENT}
"""Names that programs may ask for and that can't be here, with what to use."""


def __getattr__(name: str) -> NoReturn:
    from application_sdk.outofscope import refuse_name

    refuse_name(__name__, name, ATLAN_ONLY)
