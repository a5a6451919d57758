"""The model of warm calls: no reachable state breaks a rule's promise, and without any one rule some state does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[3] / "docs/model/warm_calls.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("warm_calls_model", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


model = load()

VIOLATIONS = {
    "assign-precondition": "one attempt was assigned to two pods",
    "report-of-attempt": "the result of a replaced assignment counts",
    "begin-once": "an attempt was begun twice by its pod",
    "tell-again": "the call is stuck",
    "reassign-lost": "the call is stuck",
    "reassign-silent": "the call is stuck",
    "commit-once": "committed twice",
}


def test_with_all_rules_every_call_ends_exactly_once() -> None:
    found = model.search()
    assert (found.problem, found.path) == ("", ())
    assert found.states > 100_000


@pytest.mark.parametrize("rule", list(VIOLATIONS))
def test_without_a_rule_a_violation_is_found(rule: str) -> None:
    found = model.search(model.RULES - {rule})
    assert found.problem == VIOLATIONS[rule]
    assert found.path


def test_an_assignment_to_a_name_needs_both_uid_checks() -> None:
    # Either of the two alone keeps a namesake from reporting: the inbox's, or admission's.
    found = model.search(model.RULES - {"report-is-assigned", "inbox-names-pod"})
    assert found.problem == "the result of a replaced assignment counts"


def test_a_finished_call_is_final_for_admission_and_operator() -> None:
    found = model.search(model.RULES - {"finished-is-final"})
    assert found.problem in ("a second result was recorded", "a result was lost")


def test_every_rule_is_taken_away_by_a_test() -> None:
    together = {"report-is-assigned", "inbox-names-pod", "finished-is-final"}
    assert VIOLATIONS.keys() | together == model.RULES
