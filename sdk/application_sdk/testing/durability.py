"""`check_durability`: crashes a run at every step, in several orders of completion, and compares what becomes of it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pydantic import BaseModel

from application_sdk.app import App
from application_sdk.contracts.base import Input
from application_sdk.contracts.codec import decode
from application_sdk.engines.memory.attempts import StandIn
from application_sdk.engines.memory.engine import SimulatedCrash, Step
from application_sdk.engines.memory.recordings import Recordings
from application_sdk.engines.memory.world import START, World
from application_sdk.errors import AppError
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import ScheduledCall
from application_sdk.replay.divergence import input_changes
from application_sdk.replay.guard import guarding
from application_sdk.replay.result import RouteResult
from application_sdk.testing.check_budget import CheckProgress, OutOfTimeError
from application_sdk.testing.gc_moments import collecting_never, collecting_often, older_objects_frozen
from application_sdk.testing.nesting import marked
from application_sdk.testing.other_processes import can_be_imported, replay_elsewhere
from application_sdk.testing.runs import Duration, Failure, TestBench, describe_end
from application_sdk.wire.digest import JSONObject

_DURATIONS = (0.0, 0.5, 1.0, 2.0, 5.0)
_NATURAL = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way for a run to go: in which order tasks complete, and where its driver dies."""

    order: int
    """0: as called. Others: a shuffle, which is the same each time."""
    crash: int | None
    """The number of the step at which the driver dies, from 0; None: it is restarted once the run has ended."""


class DurabilityError(AppError, AssertionError):
    """A run didn't go on after a crash as it would have gone without. `schedule` reproduces it."""

    def __init__(self, message: str, schedule: Schedule) -> None:
        super().__init__(message)
        self.schedule = schedule


class UnfinishedCheckWarning(UserWarning):
    """A check stopped before it had tried everything. The message says what it has covered."""


@dataclass(frozen=True, slots=True)
class DurabilityReport:
    """What was tried, all of it with success."""

    orders: int
    """Orders of completion that were begun."""
    crashes: int
    checkpoints: int
    """Of the run in its natural order."""
    processes: int
    """Other processes, each with a hash seed of its own, in which the run was replayed. 0 for apps that no other
    process can import, such as a class inside a function."""
    outcomes: Sequence[RouteResult]
    """The different ends that the orders led to: more than one means that the result depends on who is first."""
    executed: int = 0
    """Task bodies that ran. Each attempt is executed once, and what it gave serves all orders and crashes."""
    complete: bool = True
    """False when `max_seconds` were over before everything was tried."""


@dataclass(frozen=True)
class _Trial:
    result: RouteResult
    world: World
    steps: Sequence[Step]


def check_durability(
    app: type[App],
    input: Input,
    *,
    entrypoint: str | None = None,
    orders: int = 5,
    max_crashes: int = 200,
    processes: int = 2,
    failures: Mapping[str, Failure] | None = None,
    durations: Mapping[str, Duration] | None = None,
    stand_ins: Mapping[str, StandIn] | None = None,
    schedule: Schedule | None = None,
    max_seconds: float | None = 120.0,
) -> DurabilityReport:
    """Prove that an app survives crashes: run it, kill its driver at every step, and compare outputs and executions.

    Each attempt's body is executed once; what it returned serves all orders and crashes. Progress goes to stderr.

    Args:
        app: The app's class.
        input: The run's input.
        entrypoint: Name of the entry point. None stands for the default one.
        orders: How many orders of completion are tried, 5 by default.
        max_crashes: How many crashes are tried in each order, 200 by default. They are spread evenly where the run has
            more steps.
        processes: How many other processes replay the run, 2 by default. In each, sets of texts have another order.
        failures: As in `run_app`.
        durations: As in `run_app`.
        stand_ins: As in `run_app`.
        schedule: The only schedule to try, as a DurabilityError shows it. None, the default, tries all.
        max_seconds: How long the check may take, 120 seconds by default. It then stops with an UnfinishedCheckWarning
            that says what it has covered. None sets no limit.

    Returns:
        What was tried.

    Raises:
        DurabilityError: The app doesn't survive a crash, with the smallest schedule that shows it and the cause; or
            not even one run without a crash ended in `max_seconds`.
        NestedCheckError: The check executes or imports the code that calls it.
    """
    with marked():
        progress = CheckProgress(f"check_durability({app.__name__})", max_seconds)
        recordings = Recordings(progress.before_body)
        bench = TestBench(app, entrypoint, failures, durations, stand_ins, recordings=recordings)
        check = _Check(bench, bench.payload(input), recordings, progress)
        check.input_is_whole()
        # Once: to put it in place for each of hundreds of executions would take longer than they do.
        with guarding(app), older_objects_frozen():
            if schedule is not None:
                check.try_one(check.calm(schedule.order), schedule)
                return check.report()
            check.try_all(orders, max_crashes, processes)
        return check.report()


class _Check:
    """The trials of one app on one input."""

    def __init__(self, bench: TestBench, payload: JSONObject, recordings: Recordings, progress: CheckProgress) -> None:
        self._bench = bench
        self._payload = payload
        self._recordings = recordings
        self._progress = progress
        self._complete = True
        self._orders = 0
        self._checkpoints = 0
        self._processes = 0
        self._outcomes: list[RouteResult] = []

    def report(self) -> DurabilityReport:
        return DurabilityReport(
            self._orders,
            self._progress.crashes,
            self._checkpoints,
            self._processes,
            tuple(self._outcomes),
            self._recordings.executed,
            self._complete,
        )

    def try_all(self, orders: int, max_crashes: int, processes: int) -> None:
        """Every order, every crash, and the other processes, as far as the time allows."""
        name = self._bench.app.__name__
        try:
            for order in range(orders):
                self._progress.begin_order(f"order {order + 1} of {orders}")
                self.try_order(order, max_crashes)
            self.try_elsewhere(processes)
        except OutOfTimeError:
            advice = "Give slow tasks stand_ins=, fewer orders= or max_crashes=, or a larger max_seconds="
            covered = f"after {self._progress.seconds:.0f} s, with {self._progress.covered()}"
            if not self._outcomes:
                raise DurabilityError(
                    f"{name} wasn't checked: its run without a crash wasn't over {covered}. {advice}",
                    Schedule(_NATURAL, None),
                ) from None
            self._complete = False
            warnings.warn(
                f"check_durability({name}) stopped in order {self._orders} of {orders} {covered}; nothing was found so "
                f"far, and the rest wasn't tried. {advice}",
                UnfinishedCheckWarning,
                stacklevel=3,
            )

    def input_is_whole(self) -> None:
        """A run's input is completed once, when the run begins.

        Each execution fills in again what isn't written then.
        """
        contract = self._bench.app.definition.entrypoint(self._bench.entrypoint).input_type
        absent = _not_written(decode(contract, self._payload, paths="keep"), contract.__name__)
        if absent:
            raise DurabilityError(
                f"{self._bench.app.__name__} is not durable.\n"
                f"Cause: {', '.join(absent)} of the run's input is left out when it is written, so each execution of "
                f"the route takes the default that there is then. Write it (no exclude=), or take it out of the Input",
                Schedule(_NATURAL, None),
            )

    def try_order(self, order: int, max_crashes: int) -> None:
        calm = self.calm(order)
        # The restart of a finished run comes first: what fails there fails in the smallest schedule of all.
        self.try_one(calm, Schedule(order, None))
        for step in _spread(len(calm.steps), max_crashes):
            self.try_one(calm, Schedule(order, step))

    def try_elsewhere(self, processes: int) -> None:
        """Replay the run in its natural order where hashes, and with them the order of sets, are others."""
        app = self._bench.app
        if processes < 1 or not can_be_imported(app):
            return
        calm = self.calm(_NATURAL)
        exported = self._bench.finished(calm.world, self._payload, _INFO, calm.result).exported
        for seed, problem in replay_elsewhere(app, exported, processes, self._progress.seconds_left):
            self._processes += 1
            if problem is not None:
                raise DurabilityError(
                    f"{app.__name__} is not durable.\n"
                    f"Smallest schedule found: completions as called; restarted after its end in another process, with "
                    f"PYTHONHASHSEED={seed}, where sets of texts are in another order.\n"
                    f"Cause: {problem}",
                    Schedule(_NATURAL, None),
                )

    def calm(self, order: int) -> _Trial:
        """The run without a crash."""
        if order != _NATURAL or self._orders == 0:
            self._orders += 1
        world = self._world(order)
        steps: list[Step] = []

        def watch(step: Step) -> bool:
            steps.append(step)
            return False

        with collecting_never():
            result = self._bench.live(world, self._payload, _INFO, watch)
        if order == _NATURAL:
            self._checkpoints = len(world.ledger)
        if result.outcome == "Stalled":
            raise DurabilityError(
                f"{self._bench.app.__name__} stalls without any crash.\n{describe_end(result)}", Schedule(order, None)
            )
        if result not in self._outcomes:
            self._outcomes.append(result)
        return _Trial(result, world, steps)

    def try_one(self, calm: _Trial, schedule: Schedule) -> None:
        """The run with one crash, compared with the run without."""
        self._progress.before_crash()
        if schedule.crash is None:
            executions, calls = list(calm.world.executions), set(calm.world.calls)
            with collecting_often():
                result = self._bench.live(calm.world, self._payload, _INFO)
            cause = _difference(calm.result, executions, calls, result, calm.world)
        else:
            world, result = self._crashed(schedule)
            cause = _difference(calm.result, calm.world.executions, set(calm.world.calls), result, world)
        if cause is not None:
            raise DurabilityError(self._describe(calm, schedule, cause), schedule)

    def _crashed(self, schedule: Schedule) -> tuple[World, RouteResult]:
        world = self._world(schedule.order)
        passed = 0

        def crash(step: Step) -> bool:
            nonlocal passed
            passed += 1
            return passed - 1 == schedule.crash

        while True:
            try:
                return world, self._bench.live(world, self._payload, _INFO, crash)
            except SimulatedCrash:
                continue

    def _world(self, order: int) -> World:
        def duration(call: ScheduledCall, attempt: int) -> float:
            # Of the call alone, so that a crash doesn't change the order in which tasks complete.
            if order == _NATURAL or "scheduleToCloseSeconds" in call.policy:
                return 0.0  # A time that nobody asked for mustn't use up what the call may take.
            drawn = Random(f"{order}/{call.key}/{attempt}").choice(_DURATIONS)
            # guard: drawn-durations-keep-limits - the order would end at a task that timed out
            return min(drawn, call.policy.get("timeoutSeconds", drawn))

        return self._bench.world(_INFO, duration)

    def _describe(self, calm: _Trial, schedule: Schedule, cause: str) -> str:
        name = self._bench.app.__name__
        done = [completion.task for completion in calm.world.ledger]
        if schedule.crash is None:
            where = f"restarted after its end, with {len(done)} checkpoint{'s' if len(done) != 1 else ''}"
        else:
            step = calm.steps[schedule.crash]
            upto = done[: step.committed]
            listed = ", ".join(upto[-10:]) or "none"
            dots = "…, " if len(upto) > 10 else ""
            where = f"the driver dies {_WORDS[step.kind]} with {step.committed} of {len(done)} checkpoints committed "
            where += f"({dots}{listed}), and is restarted"
        order = "as called" if schedule.order == _NATURAL else f"shuffle {schedule.order}"
        return (
            f"{name} is not durable.\n"
            f"Smallest schedule found: completions {order}; {where}.\n"
            f"Cause: {cause}\n"
            f"Reproduce: check_durability({name}, …, schedule={schedule!r})"
        )


def _not_written(value: object, path: str) -> list[str]:
    """The fields of a value that was read back which only their defaults have filled."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        absent = [f"{path}.{name}" for name in fields if name not in value.model_fields_set]
        return absent + [one for name in fields for one in _not_written(getattr(value, name), f"{path}.{name}")]
    if isinstance(value, dict):
        return [one for key, item in value.items() for one in _not_written(item, f"{path}{{{key}}}")]
    if isinstance(value, list | tuple | set | frozenset):
        return [one for item in value for one in _not_written(item, f"{path}[]")]
    return []


_INFO = RunInfo(run_id="durability", uid="durability", started_at=START, own_disk=True)
_WORDS = {
    "before schedule": "before it could start its next calls,",
    "after schedule": "right after it started its next calls,",
    "after commit": "as a task completes,",
}


def _spread(count: int, limit: int) -> list[int]:
    if count <= limit:
        return list(range(count))
    return sorted({round(index * (count - 1) / (limit - 1)) for index in range(limit)})


def _difference(
    expected: RouteResult, executions: Sequence[object], calls: set[str], result: RouteResult, world: World
) -> str | None:
    if result.outcome == "Stalled":
        return describe_end(result)
    if result.outcome != expected.outcome:
        return f"without the crash the run {expected.outcome.lower()}, with it: {describe_end(result)}"
    for title, before, now in (
        ("output", expected.output, result.output),
        ("input that it continues with", expected.input, result.input),
        ("error", _kind(expected), _kind(result)),
    ):
        if changes := input_changes(before or {}, now or {}):
            listed = "\n".join(f"  {change}" for change in changes)
            return f"the {title} differs, without the crash → with it:\n{listed}"
    more = sorted(world.calls[key].task for key in world.calls.keys() - calls)
    if more:
        return f"calls were made that the run without the crash doesn't make: {', '.join(more)}"
    made, made_now = _attempts(executions), _attempts(world.executions)
    for key, count in made_now.items():
        if count > made[key]:
            given = world.calls[key[0]].input
            return f"{key[1]} was executed {count} times rather than {made[key]}, with the input {given}"
    return None


def _kind(result: RouteResult) -> JSONObject | None:
    # Not its text, which may hold what is no part of the plan, such as an object's address.
    return None if result.error is None else {"type": result.error["type"]}


def _attempts(executions: Sequence[object]) -> Counter[tuple[str, str]]:
    return Counter((getattr(execution, "key", ""), getattr(execution, "task", "")) for execution in executions)
