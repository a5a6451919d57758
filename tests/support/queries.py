"""The queries of the shipped dashboard and alerts, ready to be asked."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

FILES = Path(__file__).resolve().parents[2] / "charts" / "apprun" / "files"
ALERTS = FILES / "alerts.yaml"
DASHBOARD = FILES / "dashboard.json"


def panel_queries(interval: str = "30s") -> dict[str, str]:
    """Expression of each query, by panel and letter, with the dashboard's variables filled in."""
    board = json.loads(DASHBOARD.read_text("utf-8"))
    return {
        f"{panel['title']} {target['refId']}": filled(target["expr"], interval)
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }


def filled(expression: str, interval: str) -> str:
    variables = {"$__rate_interval": interval, "$namespace": ".*", "$app": ".*"}
    for variable, value in variables.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, f"a variable that Grafana doesn't know here: {expression}"
    return expression


def alert_queries() -> dict[str, str]:
    """Expression of each alert."""
    return {rule["alert"]: rule["expr"] for rule in alert_rules()}


def alert_rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
