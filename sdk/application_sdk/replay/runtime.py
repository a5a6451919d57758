"""What stands behind `self` in a route: task calls, time and random numbers that a replay repeats.

`replay.run` makes one for each execution of a route and puts it into `execution.current` for the route's context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

from application_sdk.errors import MisuseError
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.source_lines import user_line
from application_sdk.replay.loop import RouteLoop
from application_sdk.replay.route import Route
from application_sdk.replay.task_caller import TaskCaller
from application_sdk.replay.timers import RouteTimers
from application_sdk.replay.violations import MOVE_IT, Violations

if TYPE_CHECKING:
    from application_sdk.contracts.base import Output
    from application_sdk.execution.current import TaskRequest


class RouteRuntime:
    """The `current.Runtime` of one execution of a route, and what its guard asks (`guard.active.Guarded`)."""

    in_route = True

    def __init__(self, route: Route, info: RunInfo) -> None:
        self.route = route
        self.info = info
        self.run_id = info.run_id
        self.correlation_id = info.correlation_id or info.run_id
        self.violations = Violations()
        self._timers = RouteTimers(route)
        self.loop = RouteLoop(self._timers, self.violations)
        self.tasks = TaskCaller(route, info, self.loop, self.violations)
        self._random = Random(f"{info.uid}/random")
        self._module_random = Random(f"{info.uid}/module")
        self._uuids = Random(f"{info.uid}/uuid")

    @property
    def replaying(self) -> bool:
        return self.tasks.closed or self.route.replaying

    @property
    def task_context(self) -> object:
        raise MisuseError(
            f"{user_line()}: task_context in the route. Heartbeats and attempts belong to tasks: use it in a @task"
        )

    @property
    def storage(self) -> object:
        raise MisuseError(f"{user_line()}: context.storage in the route, which only plans: move files in a @task")

    def call_task(self, request: TaskRequest) -> Coroutine[object, None, Output]:
        return self.tasks.call(request)

    def timestamp(self) -> float:
        """The route's time, in seconds since the epoch."""
        return self.info.started_at + self.loop.time()

    def elapsed(self) -> float:
        """The route's time, in seconds since the run began."""
        return self.loop.time()

    @property
    def started_at(self) -> float:
        """When the run began, in seconds since the epoch."""
        return self.info.started_at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def uuid(self) -> UUID:
        return UUID(int=self._uuids.getrandbits(128), version=4)

    def random(self) -> Random:
        return self._random

    def module_random(self) -> Random:
        """Behind the functions of the module `random`: a `random.seed()` of the route's concerns them alone."""
        return self._module_random

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_condition(self, condition: Callable[[], bool], timeout: float | None) -> None:  # noqa: ASYNC109
        async with asyncio.timeout(timeout):
            await self.loop.wait_for_condition(condition)

    def refuse(self, action: str, instead: str = MOVE_IT) -> NoReturn:
        """End this execution: the route did what a replay can't repeat. No user code can catch it."""
        self.violations.refuse(action, instead)

    def close(self) -> None:
        """End calls and timers: this execution is over."""
        self.tasks.close()
        self._timers.close()
