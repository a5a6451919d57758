"""The append that is the commit."""

from __future__ import annotations

import pytest
from tests.support.records import NOW, a_checkpoint, a_driver, a_run, a_task, seen

from application_sdk.wire.fields import PAGE_SIZE, TAIL_LIMIT
from apprun_operator.observe.times import parse, rfc3339
from apprun_operator.plan.run.commit import NOTHING, commit


def ended(key: str, at: float = NOW, **fields: object) -> object:
    return a_task(key, **{"phase": "Succeeded", "finished_at": at, "digest": f"digest-{key}", **fields})


def test_nothing_reported_is_no_write() -> None:
    assert commit(seen(a_task("a"), a_driver(phase="Succeeded")), NOW) == NOTHING


def test_reports_at_hand_are_committed_together_in_order_of_their_end_then_key() -> None:
    made = commit(seen(ended("c", NOW - 1), ended("b", NOW - 2), ended("a", NOW - 1)), NOW)
    assert [entry["key"][0] for entry in made.new] == ["b", "a", "c"]
    assert [entry["sequence"] for entry in made.new] == [0, 1, 2]


def test_order_does_not_depend_on_the_order_of_observation() -> None:
    one, two, three = ended("a"), ended("b"), ended("c")
    assert commit(seen(one, two, three), NOW) == commit(seen(three, one, two), NOW)


def test_entries_go_on_behind_the_tail() -> None:
    run = a_run(checkpoints=(a_checkpoint(0), a_checkpoint(1)), counts={"succeeded": 2})
    made = commit(seen(ended("a"), run=run), NOW)
    assert [entry["sequence"] for entry in made.status["checkpoints"]] == [0, 1, 2]
    assert made.status["tasks"]["succeeded"] == 3


def test_what_the_ledger_has_is_never_committed_again() -> None:
    run = a_run(checkpoints=(a_checkpoint(0, key="a".ljust(32, "0")),))
    assert commit(seen(ended("a"), run=run), NOW) == NOTHING


def test_nothing_is_committed_while_a_page_is_unknown() -> None:
    assert commit(seen(ended("a"), run=a_run(pages=1), missing_pages=(0,)), NOW) == NOTHING


def test_full_tail_moves_a_page_in_the_same_step() -> None:
    run = a_run(checkpoints=tuple(a_checkpoint(n) for n in range(TAIL_LIMIT)))
    made = commit(seen(ended("a"), run=run), NOW)
    assert made.page is not None
    assert [entry["sequence"] for entry in made.page.body["spec"]["checkpoints"]] == list(range(PAGE_SIZE))
    assert made.status["ledgerPages"] == 1
    kept = [entry["sequence"] for entry in made.status["checkpoints"]]
    assert kept == list(range(PAGE_SIZE, TAIL_LIMIT + 1))


def test_page_numbers_and_sequences_go_on_after_earlier_pages() -> None:
    tail = tuple(a_checkpoint(n) for n in range(3 * PAGE_SIZE, 3 * PAGE_SIZE + TAIL_LIMIT))
    made = commit(seen(ended("a"), run=a_run(checkpoints=tail, pages=3)), NOW)
    assert made.page is not None
    assert made.page.page.name == "run-3"
    assert made.new[0]["sequence"] == 3 * PAGE_SIZE + TAIL_LIMIT


def test_page_is_the_same_however_often_it_is_planned() -> None:
    run = a_run(checkpoints=tuple(a_checkpoint(n) for n in range(TAIL_LIMIT)))
    first, again = commit(seen(ended("a"), run=run), NOW), commit(seen(ended("a"), ended("b"), run=run), NOW + 99)
    assert first.page == again.page


def test_tail_never_grows_beyond_its_limit() -> None:
    many = [ended(f"{n:04x}") for n in range(TAIL_LIMIT + 50)]
    assert len(commit(seen(*many), NOW).status["checkpoints"]) == TAIL_LIMIT


@pytest.mark.parametrize("now", [NOW, NOW - 3600])
def test_commit_times_never_run_backwards(now: float) -> None:
    run = a_run(checkpoints=(a_checkpoint(0, at=rfc3339(NOW - 5)),))
    assert parse(commit(seen(ended("a"), run=run), now).new[0]["at"]) >= NOW - 5


def test_entry_tells_outcome_attempts_digest_and_node() -> None:
    task = ended("a", phase="Failed", attempt=3, node="node2")
    (entry,) = commit(seen(task), NOW).new
    assert (entry["outcome"], entry["attempts"], entry["digest"], entry["node"]) == ("Failed", 3, "digest-a", "node2")


def test_counts_tell_of_open_calls_too() -> None:
    run = a_run(checkpoints=(a_checkpoint(0),), counts={"succeeded": 1})
    things = [ended("a"), a_task("b"), a_task("c", phase="Waiting"), a_driver()]
    counts = commit(seen(*things, run=run), NOW).status["tasks"]
    assert counts == {"total": 4, "succeeded": 2, "failed": 0, "cancelled": 0, "active": 1, "waiting": 1, "queued": 0}
