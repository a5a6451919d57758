"""The recipe of `make soak` in small: everything dies at least once while runs go on, and two books are compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.soak.faults import Pace
from tests.soak.recipe import Recipe, run_recipe
from tests.soak.verdict import verdict
from tests.support.bed import EXISTING, Bed
from tests.support.recorder.recorder import Recorder
from tests.support.runs import Runs

pytestmark = [
    pytest.mark.exclusive,
    pytest.mark.skipif(EXISTING, reason="nodes and control plane of an existing cluster are not ours to break"),
]

SMALL = Recipe(
    runs=4,
    chain=4,
    width=8,
    seconds=4,
    patience=600,
    standstill=120,  # there are three runs only, and a node is lost in four seconds: all may be on it
    pace=Pace(leader=25, api=25, first_api=37, away=15, whole=20, first_node=10, rounds=1),
)


@pytest.fixture
def limited(bed: Bed) -> Iterator[None]:
    bed.install("maxPods=16")
    yield
    bed.install()


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("limited")
def test_nothing_is_lost_doubled_or_stuck_whatever_dies(bed: Bed, runs: Runs, recorder: Recorder) -> None:
    outcome = run_recipe(bed, runs, SMALL, recorder)
    wrong = [claim for claim in verdict(outcome.facts) if not claim.holds]
    assert not wrong
    for what in ("operator killed", "API server killed", "node killed", "node cut off"):
        assert outcome.faults.caused[what], f"no {what}: {outcome.faults.failed}"
