"""Every engine gives the same program the same end, attempts and keys; where one can't, a table of the docs says so."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from tests.simulation.engines.conftest import Observe
from tests.support.engines.catalog import BY_NAME, PROGRAMS
from tests.support.engines.differences import DIFFERENCES, IN_PROCESS, MEMORY, SIMULATED, SUBPROCESSES, differs
from tests.support.engines.programs import Programs

ENGINES = (MEMORY, IN_PROCESS, SUBPROCESSES, SIMULATED)
REFERENCE = SUBPROCESSES
"""Has processes, as a cluster has, and nothing simulated."""
NAMES = [program.name for program in PROGRAMS]
ALIKE = [(engine, name) for name in NAMES for engine in ENGINES if not differs(engine, name)]
COMPARED = [(engine, name) for engine, name in ALIKE if engine != REFERENCE]
LISTED = [(engine, difference.program) for difference in DIFFERENCES for engine in sorted(difference.engines)]
SURVIVING = [
    (engine, name)
    for name in ("sequence", "side-by-side", "used-up", "abandoned", "sleeping", "chance-and-time")
    for engine in ENGINES
]
WAITING = {"abandoned", "late-call", "silent"}
"""Programs that take over a second on engines with a real clock: left to `make test`."""
DOCS = Path(__file__).resolve().parents[3] / "docs" / "testing.md"


def each(pairs: list[tuple[str, str]], waiting: set[str] = WAITING) -> pytest.MarkDecorator:
    values = [pytest.param(*pair, marks=[pytest.mark.slow] if pair[1] in waiting else []) for pair in pairs]
    return pytest.mark.parametrize(("engine", "program"), values)


every = each(ALIKE)
each_other = each(COMPARED)


def test_every_program_is_in_the_catalog() -> None:
    assert set(NAMES) == set(Programs.definition.entrypoints)


@every
def test_it_comes_to_the_end_that_was_planned(observe: Observe, engine: str, program: str) -> None:
    assert observe(engine, program).outcome == BY_NAME[program].outcome


@every
def test_it_says_what_was_planned(observe: Observe, engine: str, program: str) -> None:
    lines = BY_NAME[program].lines
    assert observe(engine, program).output == ({"lines": list(lines)} if lines else None)


@every
def test_its_error_has_the_type_that_was_planned(observe: Observe, engine: str, program: str) -> None:
    failure = observe(engine, program).failure
    assert (failure.type if failure else "") == BY_NAME[program].fails_with


@every
def test_the_failure_of_its_task_has_the_type_that_was_planned(observe: Observe, engine: str, program: str) -> None:
    cause = BY_NAME[program].cause
    failures = [done.failure.type for done in observe(engine, program).completions if done.failure]
    assert not cause or failures == [cause]


@each_other
def test_who_started_it_knows_whether_to_try_again(observe: Observe, engine: str, program: str) -> None:
    assert observe(engine, program).failure == observe(REFERENCE, program).failure


@each_other
def test_attempts_end_for_the_same_reasons_and_charges(observe: Observe, engine: str, program: str) -> None:
    assert observe(engine, program).attempts == observe(REFERENCE, program).attempts


@each_other
def test_completions_say_the_same(observe: Observe, engine: str, program: str) -> None:
    def told(name: str) -> Counter[tuple[object, ...]]:
        completions = observe(name, program).completions
        return Counter((done.task, done.outcome, done.attempts, done.failure) for done in completions)

    assert told(engine) == told(REFERENCE)


@each_other
def test_calls_have_the_same_keys(observe: Observe, engine: str, program: str) -> None:
    keys = [{done.key for done in observe(name, program).completions} for name in (engine, REFERENCE)]
    assert len(keys[0]) == len(keys[1])
    assert BY_NAME[program].keys_of_its_own or keys[0] == keys[1]


@each_other
def test_determined_orders_are_the_same(observe: Observe, engine: str, program: str) -> None:
    orders = [[done.task for done in observe(name, program).completions] for name in (engine, REFERENCE)]
    if not BY_NAME[program].keys_of_its_own:
        orders = [[done.key for done in observe(name, program).completions] for name in (engine, REFERENCE)]
    assert BY_NAME[program].unordered or orders[0] == orders[1]


@each(SURVIVING, {*WAITING, "side-by-side"})
def test_death_of_the_driver_changes_nothing(observe: Observe, engine: str, program: str) -> None:
    died, lived = (observe(engine, program, kill_driver=kill) for kill in (True, False))
    assert (died.outcome, died.output, died.failure) == (lived.outcome, lived.output, lived.failure)
    if not BY_NAME[program].keys_of_its_own:
        assert {done.key for done in died.completions} == {done.key for done in lived.completions}


@each(LISTED)
def test_listed_difference_exists(observe: Observe, engine: str, program: str) -> None:
    assert observe(engine, program) != observe(REFERENCE, program)


def test_the_docs_list_these_differences_and_no_others() -> None:
    section = DOCS.read_text().partition("\n## Where engines differ\n")[2].partition("\n## ")[0]
    titles = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    assert titles[2:] == [difference.title for difference in DIFFERENCES]
