"""Runs a route on the memory engine, in one call: for tests of the runtime itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from application_sdk.contracts import Input
from application_sdk.contracts.codec import encode
from application_sdk.engines.memory import MemoryEngine, World
from application_sdk.engines.memory.attempts import AttemptRunner
from application_sdk.engines.memory.engine import Step
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import ScheduledCall
from application_sdk.replay.result import RouteResult
from application_sdk.replay.run import run_route

INFO = RunInfo(run_id="run-1", uid="4b1c", started_at=1_767_225_600.0)


@dataclass
class Bench:
    """A run of one app in a world of its own; `run` again is another life of it."""

    app: type
    input: Input
    entrypoint: str | None = None
    info: RunInfo = INFO
    failure_of: Callable[[ScheduledCall, int], BaseException | None] = lambda call, attempt: None
    duration_of: Callable[[ScheduledCall, int], float] = lambda call, attempt: 0.0
    world: World = field(init=False)
    runner: AttemptRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = AttemptRunner(self.app, self.info)
        self.world = World(self.runner, failure_of=self.failure_of, duration_of=self.duration_of)

    def run(
        self,
        crash_at: Callable[[Step], bool] = lambda step: False,
        *,
        app: type | None = None,
        input: Input | None = None,
        info: RunInfo | None = None,
    ) -> RouteResult:
        """One life; of other code or on another input if given."""
        try:
            return run_route(
                app or self.app,
                self.entrypoint,
                encode(input or self.input),
                MemoryEngine(self.world, crash_at),
                info or self.info,
            )
        finally:
            self.runner.close()

    def executed(self) -> list[str]:
        """The tasks of the attempts that were made, in order."""
        return [execution.task for execution in self.world.executions]


def run(app: type, input: Input, **changes: object) -> RouteResult:
    """The end of a route that is left alone."""
    return Bench(app, input, **changes).run()  # type: ignore[arg-type]


def with_uid(uid: str) -> RunInfo:
    return replace(INFO, uid=uid)
