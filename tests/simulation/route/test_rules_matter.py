"""The random routes would notice if one of the rules of replay were missing: each is taken away here, and is missed.

What identity is made of matters for code that has changed: tests/unit/replay/test_divergence.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from tests.simulation.route.programs import Program, programs
from tests.simulation.route.test_random_routes import assert_same, execute

from application_sdk.engines.memory import MemoryEngine
from application_sdk.execution.engine import Completion
from application_sdk.replay.identity import Identities
from application_sdk.replay.route import Route, UnexpectedCompletion
from application_sdk.replay.run import RouteExecution
from application_sdk.replay.runtime import RouteRuntime
from application_sdk.wire.fields import Identity

pytestmark = pytest.mark.slow

Take = Callable[[pytest.MonkeyPatch], None]


def equal_calls_as_one(patch: pytest.MonkeyPatch) -> None:
    real = Identities.next

    def first(self: Identities, task: str, input_digest: str, keyed_by: str | None = None) -> Identity:
        identity = real(self, task, input_digest, keyed_by)
        identity["occurrence"] = 0
        return identity

    patch.setattr(Identities, "next", first)


def a_past_in_another_order(patch: pytest.MonkeyPatch) -> None:
    real = MemoryEngine.receive

    def shuffled(self: MemoryEngine) -> Sequence[Completion]:
        completions = list(real(self))
        Random(len(completions)).shuffle(completions)
        return completions

    patch.setattr(MemoryEngine, "receive", shuffled)


def the_whole_past_at_once(patch: pytest.MonkeyPatch) -> None:
    def run_until_blocked(self: RouteExecution, main: Any) -> None:
        self._turn()
        while self._arrived and self._route.replaying and not main.done():
            self._deliver(self._arrived.popleft())
        self._turn()

    patch.setattr(RouteExecution, "_run_until_blocked", run_until_blocked)


def late_results_as_a_surprise(patch: pytest.MonkeyPatch) -> None:
    def drop(self: Route, completion: Completion) -> None:
        raise UnexpectedCompletion(completion)

    patch.setattr(Route, "_drop", drop)


def a_deadlock_noticed_late(patch: pytest.MonkeyPatch) -> None:
    def run_until_blocked(self: RouteExecution, main: Any) -> None:
        self._turn()
        while not main.done():
            if self._arrived and self._route.replaying:
                self._deliver(self._arrived.popleft())
            elif not self._route.waiting and not self._route.replaying:
                self._body.break_deadlock()
            else:
                return
            self._turn()

    patch.setattr(RouteExecution, "_run_until_blocked", run_until_blocked)


def a_clock_that_goes_on_between_lives(patch: pytest.MonkeyPatch) -> None:
    ticks = count()
    patch.setattr(RouteRuntime, "timestamp", lambda self: self.info.started_at + next(ticks))


def other_chances_in_each_life(patch: pytest.MonkeyPatch) -> None:
    lives = count()
    patch.setattr(RouteRuntime, "random", lambda self: Random(next(lives)))


def is_broken(program: Program, seed: int, ending: str) -> bool:
    """Whether a crash at some step changes what becomes of the program, or makes it impossible to go on."""
    try:
        calm = execute(program, seed, ending=ending)
        for number in Random(seed).sample(range(len(calm.steps)), min(6, len(calm.steps))):
            assert_same(execute(program, seed, lambda at, wanted=number: at == wanted, ending=ending), calm)
    except Exception:
        return True
    return calm.result.outcome == "Stalled"


drawn_runs = st.tuples(programs, st.integers(0, 1_000_000), st.sampled_from(["well", "raise", "stuck"]))


@pytest.mark.parametrize(
    "take",
    [
        equal_calls_as_one,
        a_past_in_another_order,
        the_whole_past_at_once,
        late_results_as_a_surprise,
        a_deadlock_noticed_late,
        a_clock_that_goes_on_between_lives,
        other_chances_in_each_life,
    ],
    ids=lambda take: take.__name__,
)
def test_a_missing_rule_is_missed(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch)
    # Raises NoSuchExample if the random routes don't notice.
    find(
        drawn_runs,
        lambda drawn: is_broken(*drawn),
        settings=settings(
            max_examples=500,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
        random=Random(7),
    )
