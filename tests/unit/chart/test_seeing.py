"""Alerts and dashboard ask for metrics that there are, and each alert has its section in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.queries import alert_queries, alert_rules, panel_queries

from apprun_operator.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
SUFFIXES = re.compile(r"_(total|bucket|sum|count|info)$")
WORD = re.compile(r"\b(?:apprun|process)_\w+")


def known() -> set[str]:
    """Names of all that the operator tells, without what Prometheus appends."""
    metrics = Metrics()
    metrics.watch_runs(list, lambda: True)
    metrics.watch_warm_pods(list, lambda: True)
    metrics.watch_sizes(lambda: {"pods": 0}, lambda: 0)
    metrics.watch_silence(lambda: {"pods": 0.0})
    metrics.watch_unreadable(lambda: {"pods": 0})
    metrics.watch_leadership(lambda: True)
    return {SUFFIXES.sub("", family.name) for family in text_string_to_metric_families(metrics.text().decode())}


QUERIES = {**panel_queries(), **alert_queries()}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_the_operator_tells(query: str) -> None:
    asked = set(WORD.findall(QUERIES[query]))
    assert asked
    assert {SUFFIXES.sub("", name) for name in asked} <= known()


def test_each_alert_says_what_is_the_matter_and_where_to_read_on() -> None:
    page = (ROOT / "docs/operations/alerts.md").read_text("utf-8")
    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert sections == [rule["alert"] for rule in alert_rules()]
    for rule in alert_rules():
        told: dict[str, str] = rule["annotations"]  # type: ignore[assignment]
        assert told.keys() == {"summary", "description", "runbook"}
        assert told["runbook"] == f"docs/operations/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("info", "warning", "critical")  # type: ignore[index]


def test_the_page_of_metrics_has_all_of_them_and_no_others() -> None:
    page = (ROOT / "docs/operations/metrics.md").read_text("utf-8")
    shown = {SUFFIXES.sub("", name) for name in re.findall(r"^\| `(apprun_\w+)", page, re.MULTILINE)}
    assert shown == {name for name in known() if name.startswith("apprun_")}
