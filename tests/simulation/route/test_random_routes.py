"""Invariants 1 to 3 on random routes: whatever crashes and in whatever order tasks complete, the run is the same."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulation.route.programs import EndingInterpreter, Interpreter, Program, programs

from application_sdk.engines.memory import MemoryEngine, SimulatedCrash, World
from application_sdk.engines.memory.attempts import AttemptRunner
from application_sdk.engines.memory.engine import Step
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import ScheduledCall
from application_sdk.replay.guard import guarding
from application_sdk.replay.result import RouteResult
from application_sdk.replay.run import run_route

pytestmark = pytest.mark.slow

INFO = RunInfo(run_id="random", uid="0b9d", started_at=1_767_225_600.0)


@pytest.fixture(scope="module", autouse=True)
def _guard() -> Iterator[None]:
    """In place once: it looks through all modules of the process, which would be most of the time of each life."""
    with guarding(Interpreter), guarding(EndingInterpreter):
        yield


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many random examples; `ROUTE_EXAMPLES=20` makes it twenty times as many, for a long hunt."""
    return settings(
        max_examples=count * int(os.environ.get("ROUTE_EXAMPLES", "1")),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@dataclass
class Outcome:
    result: RouteResult
    world: World
    steps: list[Step] = field(default_factory=list)
    lives: int = 1


def duration(seed: int) -> Callable[[ScheduledCall, int], float]:
    """A duration for each attempt that depends on nothing but the seed and the call: crashes don't change it."""

    def of(call: ScheduledCall, attempt: int) -> float:
        return Random(f"{seed}/{call.key}/{attempt}").choice([0.0, 0.3, 1.0, 1.7, 4.0])

    return of


def execute(
    program: Program,
    seed: int,
    crash_at: Callable[[int], bool] = lambda number: False,
    cancel_after: float | None = None,
    ending: str | None = None,
) -> Outcome:
    """Run until the route ends; each driver that dies at a step is followed by another."""
    app = Interpreter if ending is None else EndingInterpreter
    payload = {"program": json.dumps(program)} | ({} if ending is None else {"ending": ending})
    runner = AttemptRunner(app, INFO)
    world = World(runner, duration_of=duration(seed))
    if cancel_after is not None:
        world.cancel_run(INFO.started_at + cancel_after)
    steps: list[Step] = []

    def crash(step: Step) -> bool:
        steps.append(step)
        return crash_at(len(steps) - 1)

    try:
        for lives in range(1, 2000):
            try:
                result = run_route(app, None, payload, MemoryEngine(world, crash), INFO)
            except SimulatedCrash:
                continue
            return Outcome(result, world, steps, lives)
    finally:
        runner.close()
    raise AssertionError("the route never ended")


def attempts(world: World) -> Counter[tuple[str, str, int]]:
    return Counter((execution.key, execution.task, execution.attempt) for execution in world.executions)


def assert_same(crashed: Outcome, calm: Outcome) -> None:
    assert crashed.result == calm.result
    assert attempts(crashed.world) == attempts(calm.world)
    assert crashed.world.calls.keys() == calm.world.calls.keys()
    assert crashed.world.ledger == calm.world.ledger


@examples(100)
@given(program=programs, seed=st.integers(0, 1_000_000))
def test_a_crash_at_any_single_step_changes_nothing(program: Program, seed: int) -> None:
    calm = execute(program, seed)
    assert calm.result.outcome == "Succeeded", calm.result
    for number in Random(seed).sample(range(len(calm.steps)), min(8, len(calm.steps))):
        assert_same(execute(program, seed, lambda at, expected=number: at == expected), calm)


@examples(60)
@given(program=programs, seed=st.integers(0, 1_000_000))
def test_a_driver_that_dies_after_every_step_still_ends(program: Program, seed: int) -> None:
    calm = execute(program, seed)
    step_keys: set[Step] = set()
    crashed = execute_dying_once_at_each_step(program, seed, step_keys)
    assert_same(crashed, calm)
    assert crashed.lives > 1


@examples(60)
@given(program=programs, seed=st.integers(0, 1_000_000), downtime=st.integers(1, 6))
def test_completions_without_a_driver_are_replayed_alike(program: Program, seed: int, downtime: int) -> None:
    """The order may be another than without a crash, but then it is *the* order: a replay gives the same end."""
    runner = AttemptRunner(Interpreter, INFO)
    world = World(runner, duration_of=duration(seed))
    chance = Random(seed)

    def crash(step: Step) -> bool:
        return chance.random() < 0.3

    payload = {"program": json.dumps(program)}
    try:
        while True:
            try:
                result = run_route(Interpreter, None, payload, MemoryEngine(world, crash), INFO)
                break
            except SimulatedCrash:
                for _ in range(downtime):
                    world.step()
        assert result.outcome == "Succeeded", result
        committed = Counter(execution.key for execution in world.executions)
        for completion in world.ledger:
            if completion.task != "sleep":
                assert committed[completion.key] == completion.attempts
        before = len(world.executions), set(world.calls)
        assert run_route(Interpreter, None, payload, MemoryEngine(world), INFO) == result
        assert (len(world.executions), set(world.calls)) == before
    finally:
        runner.close()


@examples(60)
@given(program=programs, seed=st.integers(0, 1_000_000), seconds=st.sampled_from([0.0, 0.4, 1.5, 3.0, 8.0]))
def test_a_cancelled_run_that_crashes_ends_as_it_would_have(program: Program, seed: int, seconds: float) -> None:
    def cancelled(crash_at: Callable[[int], bool]) -> Outcome:
        return execute(program, seed, crash_at, cancel_after=seconds)

    calm = cancelled(lambda number: False)
    for number in Random(seed).sample(range(len(calm.steps)), min(5, len(calm.steps))):
        assert_same(cancelled(lambda at, expected=number: at == expected), calm)


@examples(60)
@given(
    program=programs,
    seed=st.integers(0, 1_000_000),
    ending=st.sampled_from(["well", "raise", "stuck"]),
    seconds=st.sampled_from([None, 1.5, 6.0]),
)
def test_a_run_that_crashes_before_it_fails_still_fails(
    program: Program, seed: int, ending: str, seconds: float | None
) -> None:
    def ended(crash_at: Callable[[int], bool]) -> Outcome:
        return execute(program, seed, crash_at, cancel_after=seconds, ending=ending)

    calm = ended(lambda number: False)
    assert calm.result.outcome in ("Succeeded", "Failed", "Cancelled"), calm.result
    for number in Random(seed).sample(range(len(calm.steps)), min(5, len(calm.steps))):
        assert_same(ended(lambda at, expected=number: at == expected), calm)


def execute_dying_once_at_each_step(program: Program, seed: int, step_keys: set[Step]) -> Outcome:
    runner = AttemptRunner(Interpreter, INFO)
    world = World(runner, duration_of=duration(seed))

    def crash(step: Step) -> bool:
        if step in step_keys:
            return False
        step_keys.add(step)
        return True

    try:
        for lives in range(1, 5000):
            try:
                engine = MemoryEngine(world, crash)
                result = run_route(Interpreter, None, {"program": json.dumps(program)}, engine, INFO)
            except SimulatedCrash:
                continue
            return Outcome(result, world, [], lives)
    finally:
        runner.close()
    raise AssertionError("the route never ended")
