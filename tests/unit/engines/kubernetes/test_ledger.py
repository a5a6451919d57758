"""The ledger as a driver reads it: in order, without gaps, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from application_sdk.engines.kubernetes.ledger import Ledger, LedgerUnreadable


def run(*sequences: int) -> dict[str, Any]:
    return {"status": {"checkpoints": [{"sequence": number, "key": str(number)} for number in sequences]}}


def test_older_state_of_the_run_changes_nothing() -> None:
    ledger = Ledger("r")
    ledger.absorb(run(0, 1, 2))
    ledger.absorb(run(0, 1))
    assert [entry["sequence"] for entry in ledger.since(0)] == [0, 1, 2]


def test_gap_in_the_numbers_makes_the_past_unreadable() -> None:
    ledger = Ledger("r")
    ledger.absorb(run(0))
    with pytest.raises(LedgerUnreadable, match="continues with checkpoint 2, but number 1 is missing"):
        ledger.absorb(run(2))
