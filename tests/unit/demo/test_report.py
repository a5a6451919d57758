"""The tables at the end, and the live picture, show what happened."""

from __future__ import annotations

import io
from dataclasses import replace

from hack.demo.dashboard import Screen, dashboard
from hack.demo.report import losses, page, rows
from hack.demo.timeline import Entry
from hack.demo.verdict import Claim
from rich.console import Console, RenderableType
from tests.unit.demo.world import END, FAULT, KILLED_AT, WORKING, pod, task, witness


def drawn(picture: RenderableType, width: int = 140) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(picture)
    return out.getvalue()


def test_rows_are_in_the_order_of_the_ledger() -> None:
    assert [(row.checkpoint, row.task) for row in rows(END, FAULT)] == [
        ("1", "read_group list"),
        ("2", "read_group core"),
        ("3", "read_group batch"),
        ("4", "read_group apps"),
        ("5", "read_group assemble"),
    ]


def test_lost_task_shows_both_nodes() -> None:
    lost = next(row for row in rows(END, FAULT) if row.task == "read_group apps")
    assert (lost.nodes, lost.attempts, lost.executed) == ("node2 ✗ → node1", "2", "1")


def test_execution_count_is_that_of_the_witnesses() -> None:
    twice = replace(END, witnesses=(*END.witnesses, witness("core", node="node2")))
    assert next(row for row in rows(twice, FAULT) if row.task == "read_group core").executed == "2"


def test_uncommitted_task_stands_last() -> None:
    assert [row.checkpoint for row in rows(replace(END, tasks=(*END.tasks, task("extra"))), FAULT)][-1] == "none"


def test_losses_tell_how_long_each_party_took() -> None:
    told = dict(losses(END, FAULT))
    assert told["at work there"] == "the driver and 2 tasks without a result"
    assert told["committed by then"] == "2 of 5 task calls"
    assert told["Kubernetes noticed"] == "4.3 s after the fault"
    assert told["AppRun restarted them"] == "9.6 s after the fault"
    assert told["node switched on again"] == "Ready after 3.8 s"


def test_page_shows_a_claim_that_failed() -> None:
    text = drawn(
        page(END, FAULT, [Claim("it holds", True, "5 of 5"), Claim("it doesn't", False, "core (2 times)")], 60)
    )
    assert "✓ it holds  (5 of 5)" in text
    assert "✗ it doesn't  (core (2 times))" in text


def test_board_shows_the_dead_node_and_what_died_on_it() -> None:
    fault = replace(FAULT, power_on=None)
    text = drawn(
        dashboard(
            "catalog",
            WORKING,
            fault,
            [Entry(KILLED_AT, "node2 killed", "bad")],
            KILLED_AT - 20,
            Screen(140, 50),
        )
    )
    assert "node2  ● killed" in text
    assert text.count("lost with its node") == 2
    assert "2 of 4 calls committed, 2 witnesses" in text


def test_a_small_dashboard_leaves_out_committed_calls() -> None:
    text = drawn(dashboard("catalog", WORKING, None, [], KILLED_AT - 20, Screen(80, 20)), width=80)
    assert "read_group batch" in text
    assert "read_group core" not in text


def test_board_fits_a_narrow_terminal() -> None:
    after = replace(WORKING, pods=(*WORKING.pods, pod("apps", "node1", 2)))
    text = drawn(dashboard("catalog", after, None, [], KILLED_AT - 20, Screen(80, 50)), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "read_group batch" in text
