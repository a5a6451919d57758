"""Ledgers that were recorded under each version of the replay rules must always replay.

One that fails here means that runs on clusters would stall after an upgrade: the rules need a new version, and the old
one has to stay.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.simulation.route.evolved import Evolved
from tests.simulation.route.programs import Interpreter
from tests.simulation.route.valued import Valued

from application_sdk.testing import replay
from application_sdk.wire.fields import KNOWN_REPLAY_RULES, REPLAY_RULES

APPS = {app.__name__: app for app in (Evolved, Interpreter, Valued)}
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("ledger", GOLDEN, ids=lambda path: path.stem)
def test_a_recorded_run_still_replays(ledger: Path) -> None:
    recorded = json.loads(ledger.read_text())["app"]
    replayed = replay(APPS[recorded.rpartition(":")[2]], ledger)
    assert replayed.result is not None
    assert replayed.result.outcome == "Succeeded"


def test_the_current_rules_have_a_golden_ledger() -> None:
    assert f"rules-{REPLAY_RULES}" in [path.stem for path in GOLDEN]


def test_every_version_of_the_rules_has_a_golden_ledger() -> None:
    recorded = {json.loads(path.read_text())["replayRules"] for path in GOLDEN}
    assert recorded == set(KNOWN_REPLAY_RULES)
