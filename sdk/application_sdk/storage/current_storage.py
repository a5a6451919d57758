"""The files of the task that runs, for the functions of `storage.functions`. Whoever runs a task
fills it for the task's context, if this module is loaded; where it is empty, the store is the
environment's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from application_sdk.storage.files import FileStorage
from application_sdk.storage.keys import Scope
from application_sdk.storage.store import Store

_given: ContextVar[Callable[[], FileStorage] | None] = ContextVar("application_sdk.task_storage", default=None)

fill = _given.set
"""Have the current context use what this returns."""


class Default:
    """The store of `InfrastructureContext(storage=…)`, which comes before a task's own.
    `infrastructure` sets it."""

    store: Store | None = None


def files() -> FileStorage:
    """What the slot holds."""
    given = _given.get()
    if Default.store is None and given is not None:
        return given()
    return FileStorage(Scope("", "", "", ""), store=Default.store)
