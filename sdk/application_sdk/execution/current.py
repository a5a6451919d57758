"""The one slot that says what stands behind `self` while an app's code runs: a route, a task attempt, or nothing.

`replay.run` and `attempt.attempt` fill it for their own context only; `app` reads it. Nothing in the slot means
that the app is used as a plain Python object, as in a unit test. This module knows no engine and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import random
    import uuid
    from collections.abc import Coroutine
    from datetime import datetime

    from application_sdk.contracts.base import Input, Output
    from application_sdk.execution.definition import TaskDefinition


class TaskRequest(NamedTuple):
    """A task as the route called it: `self.fetch.options(…).keyed(…)(input)`."""

    definition: TaskDefinition
    """With the options of this one call applied."""
    input: Input
    line: str
    """`file:line` of the call."""
    keyed_by: str | None = None


class Runtime(Protocol):
    """What an app may ask of where it runs. A route answers with what a replay repeats, a task with the real thing."""

    @property
    def in_route(self) -> bool:
        """True in a route, False in a task's attempt."""
        ...

    @property
    def run_id(self) -> str:
        """Name of the run."""
        ...

    @property
    def correlation_id(self) -> str:
        """Shared by a run and those that it continued as."""
        ...

    @property
    def replaying(self) -> bool:
        """True while the route only repeats what a previous execution of it did: its log lines are dropped then."""
        ...

    @property
    def task_context(self) -> object:
        """The `TaskContext` of the attempt. Raises MisuseError in a route."""
        ...

    @property
    def storage(self) -> object:
        """The `FileStorage` of the attempt. Raises MisuseError in a route."""
        ...

    def call_task(self, request: TaskRequest) -> Coroutine[object, None, Output]:
        """Have a task executed. Raises MisuseError in a task: a task can't call a task."""
        ...

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def uuid(self) -> uuid.UUID: ...

    def random(self) -> random.Random: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait_condition(self, condition: Callable[[], bool], timeout: float | None) -> None:  # noqa: ASYNC109
        """Return once `condition()` is true. Raises TimeoutError after `timeout` seconds."""
        ...


_slot: ContextVar[Runtime | None] = ContextVar("application_sdk.runtime", default=None)

get = _slot.get
"""The runtime of the code that asks, or None."""
enter = _slot.set
"""Fill the slot in the current context; returns the token for `leave`."""
leave = _slot.reset
