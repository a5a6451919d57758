"""Each guard that `make mutants` takes away stands in the code as the list has it, and its tests exist."""

from __future__ import annotations

import pytest
from hack.mutants import MUTANTS, ROOT, Mutant, missing


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_mutant_applies_to_the_code(mutant: Mutant) -> None:
    assert missing(mutant) == ""
    assert mutant.without != mutant.code
    for tests in mutant.tests:
        assert (ROOT / tests).exists()
