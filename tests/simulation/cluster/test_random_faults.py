"""Everything at once, at random: the invariants hold at every change, every run ends, nothing is left over.

Each seed is one course of events. `make simulate SEEDS=n` tries n of them; a bug that one finds becomes a test of its
own in test_found.py.
"""

from __future__ import annotations

import pytest
from tests.support.sim.chaos import Chaos
from tests.support.sim.cluster import simulate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(25))
def test_chaos_breaks_nothing(seed: int) -> None:
    chaos = Chaos(seed)
    try:
        simulate(chaos.run(), seed)
    except BaseException as error:
        error.add_note(f"seed {seed}:\n" + "\n".join(chaos.events))
        raise
