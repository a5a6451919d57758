"""`run_app`: executes an app on the memory engine, in virtual time, with failures where the test wants them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, cast, overload

from typing_extensions import TypeVar

from application_sdk.app import App
from application_sdk.attempt.task_context import FilesPlace
from application_sdk.contracts.base import Input, Output
from application_sdk.contracts.codec import decode, encode
from application_sdk.engines.memory.attempts import AttemptRunner, StandIn
from application_sdk.engines.memory.engine import CrashAt, MemoryEngine
from application_sdk.engines.memory.recordings import RecordingRunner, Recordings
from application_sdk.engines.memory.world import START, Execution, World
from application_sdk.errors import AppError
from application_sdk.execution.definition import OUR_TASKS, AppDefinition, RunInfo
from application_sdk.execution.engine import Completion, RecordedCall, ScheduledCall
from application_sdk.replay.history import ExportedRun
from application_sdk.replay.result import RouteOutcome, RouteResult
from application_sdk.replay.run import run_route
from application_sdk.testing.files import fetched, new_place
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ErrorFields, Outcome

if TYPE_CHECKING:
    from application_sdk.contracts.types import FileReference

Failure: TypeAlias = "BaseException | Sequence[BaseException | None] | Callable[[Any, int], BaseException | None]"
"""An exception for every attempt; one for each attempt in turn, None for one that may run; or a function of the input
and the attempt's number, from 1."""
Duration: TypeAlias = "float | Callable[[Any], float]"
"""Virtual seconds that an attempt takes, or a function of the input that says so."""


class RunFailedError(AppError, AssertionError):
    """A run under test didn't succeed, and its output was asked for. The message is the run's own error."""


Given = TypeVar("Given", bound=Input, contravariant=True)
Made = TypeVar("Made", bound=Output, covariant=True, default=Any)


class Runs(Protocol[Given, Made]):
    """An app by its default entry point `run`: from its class a type checker knows what goes in and what comes out."""

    def run(self, input: Given, /) -> Coroutine[Any, Any, Made]:
        """The plan."""
        ...


@dataclass(frozen=True, slots=True)
class FinishedRun(Generic[Made]):
    """How a run under test went. `FinishedRun[MyOutput]` is one whose output is a MyOutput."""

    app: type[App]
    entrypoint: str
    result: RouteResult
    executions: Sequence[Execution]
    """Every attempt that was made, in order, injected failures included."""
    ledger: Sequence[Completion]
    """The checkpoints, in commit order."""
    elapsed_seconds: float
    """Virtual time from the start to the last checkpoint."""
    exported: ExportedRun
    """The run's past as `apprun export` would give it."""
    continued_from: FinishedRun[Any] | None = None
    """The run that continued as this one."""
    files: FilesPlace = field(default_factory=new_place, repr=False, compare=False)
    """Where its files are kept, until this process ends."""
    state: Mapping[str, JSONObject] = field(default_factory=dict)
    """What the app keeps after it, by key."""

    @property
    def outcome(self) -> RouteOutcome:
        return self.result.outcome

    @property
    def error(self) -> ErrorFields | None:
        """Why the run failed or stalled."""
        return self.result.error

    @property
    def message(self) -> str:
        """The text of `error`; empty if there is none."""
        return "" if self.result.error is None else self.result.error["message"]

    @property
    def output(self) -> Made:
        """What the route returned. Raises RunFailedError unless it succeeded."""
        if self.result.outcome != "Succeeded" or self.result.output is None:
            raise RunFailedError(describe_end(self.result))
        contract = self.app.definition.entrypoint(self.entrypoint).output_type
        return cast("Made", decode(contract, self.result.output, paths="keep"))

    def file(self, ref: FileReference) -> Path:
        """A file or directory that the run has stored, read-only on this disk. Raises StorageError when it is gone."""
        return fetched(ref, self.files, self.exported.info.correlation_id)

    @property
    def executed(self) -> list[str]:
        """The tasks of the attempts that were made, in order."""
        return [execution.task for execution in self.executions]


@overload
def run_app(
    app: Callable[[], Runs[Given, Made]],
    input: Given,
    *,
    failures: Mapping[str, Failure] | None = None,
    durations: Mapping[str, Duration] | None = None,
    stand_ins: Mapping[str, StandIn] | None = None,
    cancel_after: float | None = None,
    started_at: datetime | None = None,
    max_runs: int = 100,
    state: Mapping[str, JSONObject] | None = None,
) -> FinishedRun[Made]: ...


@overload
def run_app(
    app: type[App],
    input: Input,
    *,
    entrypoint: str | None,
    failures: Mapping[str, Failure] | None = None,
    durations: Mapping[str, Duration] | None = None,
    stand_ins: Mapping[str, StandIn] | None = None,
    cancel_after: float | None = None,
    started_at: datetime | None = None,
    max_runs: int = 100,
    state: Mapping[str, JSONObject] | None = None,
) -> FinishedRun[Any]: ...


def run_app(
    app: Any,
    input: Any,
    *,
    entrypoint: str | None = None,
    failures: Mapping[str, Failure] | None = None,
    durations: Mapping[str, Duration] | None = None,
    stand_ins: Mapping[str, StandIn] | None = None,
    cancel_after: float | None = None,
    started_at: datetime | None = None,
    max_runs: int = 100,
    state: Mapping[str, JSONObject] | None = None,
) -> FinishedRun[Any]:
    """Run an app to its end, in this process. Timers and backoffs take virtual time: a week passes in milliseconds.

    Works inside and outside of an event loop.

    Args:
        app: The app's class.
        input: The run's input.
        entrypoint: Name of the entry point. None stands for the default one.
        failures: What fails, by name of the task.
        durations: How long attempts take, by name of the task. In virtual seconds.
        stand_ins: What is called with the input in place of a task's body, by name of the task.
        cancel_after: When the run is cancelled, in virtual seconds after its start. None, the default: never.
        started_at: When the run begins, on its own clock. A fixed time by default.
        max_runs: How many runs are followed where each continues as another one, 100 by default.
        state: What the app has saved in earlier runs, by key. Empty by default.

    Returns:
        The run: its outcome, output or error, calls, and the state that the app has saved.

    Raises:
        RunFailedError: The app still continued as another run after `max_runs` runs.
    """
    bench = TestBench(app, entrypoint, failures, durations, stand_ins, state=dict(state or {}))
    payload = bench.payload(input)
    finished: FinishedRun[Any] | None = None
    for number in range(1, max_runs + 1):
        info = RunInfo(
            run_id=f"{app.definition.name}-{number}",
            uid=f"test-{number}",
            started_at=started_at.timestamp() if started_at is not None else START,
            correlation_id=f"{app.definition.name}-1",
            own_disk=True,
        )
        world = bench.world(info)
        if cancel_after is not None:
            world.cancel_run(info.started_at + cancel_after)
        result = bench.live(world, payload, info)
        finished = bench.finished(world, payload, info, result, finished)
        if result.outcome != "Continued" or result.input is None:
            return finished
        payload = result.input
        bench = replace(bench, entrypoint=result.entrypoint)
    raise RunFailedError(f"the run still continued as another one after {max_runs} runs")


@dataclass(frozen=True)
class TestBench:
    """An app with what a test has injected. Makes worlds for it, and lives in them."""

    __test__ = False

    app: type[App]
    entrypoint: str | None = None
    failures: Mapping[str, Failure] | None = None
    durations: Mapping[str, Duration] | None = None
    stand_ins: Mapping[str, StandIn] | None = None
    files: FilesPlace = field(default_factory=new_place)
    state: dict[str, JSONObject] = field(default_factory=dict)
    """What the app keeps beyond its runs."""
    recordings: Recordings | None = None
    """Where given: attempts that all worlds share, each body executed once."""

    def __post_init__(self) -> None:
        names = set(self.app.definition.tasks)
        for title, given in (("failures", self.failures), ("durations", self.durations), ("stand_ins", self.stand_ins)):
            for name in given or {}:
                if name not in names and not name.startswith(OUR_TASKS):
                    listed = ", ".join(sorted(names)) or "no tasks"
                    raise ValueError(f"{title} names a task {name!r}, but {self.app.__name__} has {listed}")

    def payload(self, input: Input) -> JSONObject:
        """The run's input as JSON. Raises ContractValidationError when it isn't what the entry point takes."""
        return encode(input, self.app.definition.entrypoint(self.entrypoint).input_type)

    def world(self, info: RunInfo, duration_of: Callable[[ScheduledCall, int], float] | None = None) -> World:
        """A new world for a run. `duration_of` serves where no duration was injected."""
        definition = self.app.definition
        failures, durations = self.failures or {}, self.durations or {}

        def failure(call: ScheduledCall, attempt: int) -> BaseException | None:
            return _failure(definition, call, failures.get(call.task), attempt)

        def duration(call: ScheduledCall, attempt: int) -> float:
            given = durations.get(call.task)
            if given is None:
                return duration_of(call, attempt) if duration_of is not None else 0.0
            return given(_input(definition, call)) if callable(given) else given

        runner = (
            AttemptRunner(self.app, info, self.stand_ins, self.files, self.state)
            if self.recordings is None
            else RecordingRunner(self.recordings, self.app, info, self.stand_ins, self.files, self.state)
        )
        return World(runner, started_at=info.started_at, failure_of=failure, duration_of=duration)

    def live(
        self, world: World, payload: JSONObject, info: RunInfo, crash_at: CrashAt = lambda step: False
    ) -> RouteResult:
        """One execution of the route in a world. Raises SimulatedCrash."""
        try:
            return run_route(self.app, self.entrypoint, payload, MemoryEngine(world, crash_at), info)
        finally:
            world.close()

    def finished(
        self,
        world: World,
        payload: JSONObject,
        info: RunInfo,
        result: RouteResult,
        before: FinishedRun[Any] | None = None,
    ) -> FinishedRun[Any]:
        """What is told of a run that has ended."""
        entrypoint = self.entrypoint or self.app.definition.default_entrypoint
        ended: Outcome | None = None
        if result.outcome in ("Succeeded", "Failed", "Cancelled"):
            ended = result.outcome
        exported = ExportedRun(
            entry=self.app.definition.entry,
            entrypoint=entrypoint,
            input=payload,
            info=info,
            calls=[recorded(call) for call in world.calls.values()],
            completions=list(world.ledger),
            outcome=ended,
            output=result.output,
        )
        return FinishedRun(
            app=self.app,
            entrypoint=entrypoint,
            result=result,
            executions=tuple(world.executions),
            ledger=tuple(world.ledger),
            elapsed_seconds=(world.ledger[-1].at - info.started_at) if world.ledger else 0.0,
            exported=exported,
            continued_from=before,
            files=self.files,
            state=dict(self.state),
        )


def recorded(call: ScheduledCall) -> RecordedCall:
    """A call as a later execution of the route receives it."""
    return RecordedCall(call.key, call.task, call.entrypoint, call.input, call.identity, call.line)


def describe_end(result: RouteResult) -> str:
    """A run's end in words."""
    error = result.error
    if error is None:
        return f"the run ended as {result.outcome}"
    traceback = error.get("traceback")
    return f"the run {result.outcome.lower()}: {error['type']}: {error['message']}" + (
        f"\n{traceback}" if traceback else ""
    )


def _input(definition: AppDefinition, call: ScheduledCall) -> Input:
    return decode(definition.task(call.task).input_type, call.input, paths="keep")


def _failure(
    definition: AppDefinition, call: ScheduledCall, failure: Failure | None, attempt: int
) -> BaseException | None:
    if failure is None or isinstance(failure, BaseException):
        return failure
    if callable(failure):
        return failure(_input(definition, call), attempt)
    return failure[attempt - 1] if attempt <= len(failure) else None
