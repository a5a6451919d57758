"""`signal`, `query`, `update`: known from the public SDK, not offered yet. Importing works, use fails with a reason."""

from __future__ import annotations

import sys
from typing import NoReturn

from application_sdk.errors import AppDefinitionError


def signal(*args: object, **kwargs: object) -> NoReturn:
    """Not offered. Raises AppDefinitionError."""
    _refuse("signal", "pass what the run needs in its input, or let a @task wait for it")


def query(*args: object, **kwargs: object) -> NoReturn:
    """Not offered. Raises AppDefinitionError."""
    _refuse("query", "report progress from a @task: it shows in the run's AppTasks")


def update(*args: object, **kwargs: object) -> NoReturn:
    """Not offered. Raises AppDefinitionError."""
    _refuse("update", "pass what the run needs in its input, or let a @task wait for it")


def _refuse(name: str, instead: str) -> NoReturn:
    frame = sys._getframe(2)  # noqa: SLF001
    raise AppDefinitionError(
        f"{frame.f_code.co_filename}:{frame.f_lineno}: @{name} isn't supported: nothing can be sent to a running "
        f"route. Instead, {instead}"
    )
