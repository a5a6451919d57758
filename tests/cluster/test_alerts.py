"""Alerts as Prometheus reads them: each fires in the case that it is for, and not before. Needs no cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.prometheus import program
from tests.support.queries import ALERTS, alert_rules

APP = 'namespace="shop",app="orders"'

CASES: dict[str, tuple[dict[str, str], str, int]] = {
    "AppRunOperatorAbsent": ({}, "7m", 1),
    "AppRunNoLeader": ({'apprun_is_leader{instance="a"}': "0x60", 'apprun_is_leader{instance="b"}': "0x60"}, "4m", 1),
    "AppRunSeveralLeaders": (
        {'apprun_is_leader{instance="a"}': "1x60", 'apprun_is_leader{instance="b"}': "1x60"}, "4m", 1),
    "AppRunWatchSilent": ({'apprun_watch_silence_seconds{kind="pods"}': "0+60x60"}, "10m", 1),
    "AppRunApiErrors": (
        {'apprun_api_requests_total{verb="GET",code="200"}': "0+80x60",
         'apprun_api_requests_total{verb="GET",code="503"}': "0+20x60"}, "30m", 1),
    "AppRunActionsFail": ({'apprun_failures_total{error="ForbiddenError"}': "0+30x60"}, "40m", 1),
    "AppRunLoopLags": (
        {'apprun_loop_lag_seconds_bucket{le="0.5"}': "0+1x60",
         'apprun_loop_lag_seconds_bucket{le="1"}': "0+60x60",
         'apprun_loop_lag_seconds_bucket{le="+Inf"}': "0+60x60"}, "30m", 1),
    "AppRunQueueLong": ({"apprun_queue_length": "150x60"}, "12m", 1),
    "AppRunCommitsSlow": (
        {f'apprun_task_stage_seconds_bucket{{{APP},stage="commit",le="10"}}': "0+1x60",
         f'apprun_task_stage_seconds_bucket{{{APP},stage="commit",le="30"}}': "0+9x60",
         f'apprun_task_stage_seconds_bucket{{{APP},stage="commit",le="+Inf"}}': "0+9x60"}, "30m", 1),
    "AppRunRunsStalled": ({f'apprun_runs{{{APP},phase="Stalled"}}': "1x60"}, "12m", 1),
    "AppRunRunsFail": (
        {f'apprun_runs_finished_total{{{APP},outcome="Failed"}}': "0x9 1x9 2x60",
         f'apprun_runs_finished_total{{{APP},outcome="Succeeded"}}': "0x9 1x60"}, "40m", 1),
    "AppRunHeld": ({f'apprun_held{{{APP},kind="task",reason="Unschedulable"}}': "5x60"}, "35m", 1),
    "AppRunTasksKilledForMemory": (
        {f'apprun_attempts_failed_total{{{APP},role="task",budget="App",reason="OOMKilled"}}': "0+1x5 5x60"}, "15m", 1),
    "AppRunDisruptions": (
        {f'apprun_attempts_failed_total{{{APP},role="task",budget="Disruption",reason="NodeLost"}}': "0+5x60"},
        "20m", 1),
}  # fmt: skip
"""Series by name, as promtool writes them (a value a minute), when to look, and how many alerts there should be."""

WELL = {
    'apprun_is_leader{instance="a"}': "1x60",
    'apprun_is_leader{instance="b"}': "0x60",
    'apprun_watch_silence_seconds{kind="pods"}': "30x60",
    'apprun_api_requests_total{verb="GET",code="200"}': "0+80x60",
    'apprun_api_requests_total{verb="PATCH",code="409"}': "0+40x60",
    'apprun_failures_total{error="ConflictError"}': "0+1x60",
    'apprun_loop_lag_seconds_bucket{le="0.5"}': "0+60x60",
    'apprun_loop_lag_seconds_bucket{le="+Inf"}': "0+60x60",
    "apprun_queue_length": "3x60",
    f'apprun_task_stage_seconds_bucket{{{APP},stage="commit",le="0.5"}}': "0+9x60",
    f'apprun_task_stage_seconds_bucket{{{APP},stage="commit",le="+Inf"}}': "0+9x60",
    f'apprun_runs{{{APP},phase="Running"}}': "7x60",
    f'apprun_runs_finished_total{{{APP},outcome="Failed"}}': "0x9 1x60",
    f'apprun_runs_finished_total{{{APP},outcome="Succeeded"}}': "0+1x60",
    f'apprun_held{{{APP},kind="task",reason="Unschedulable"}}': "5x5 _x60",
    f'apprun_attempts_failed_total{{{APP},role="task",budget="App",reason="OOMKilled"}}': "0x9 1x60",
}


def firing(series: dict[str, str], at: str, expected: dict[str, int], folder: Path) -> str:
    """What promtool says about the alerts that fire then; empty when it is as expected."""
    given = [{"series": name, "values": values} for name, values in series.items()]
    tests: list[dict[str, Any]] = [
        {
            "interval": "1m",
            "input_series": given,
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                    "eval_time": at,
                    "exp_samples": [{"labels": "{}", "value": count}],
                }
                for alert, count in expected.items()
            ],
        }
    ]
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([program("promtool"), "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_rules_are_well_formed() -> None:
    done = subprocess.run([program("promtool"), "check", "rules", str(ALERTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_case() -> None:
    assert {rule["alert"] for rule in alert_rules()} == CASES.keys()


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_in_its_case(alert: str, tmp_path: Path) -> None:
    series, at, count = CASES[alert]
    assert firing(series, at, {alert: count}, tmp_path) == ""


def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    assert firing(WELL, "50m", dict.fromkeys(CASES, 0), tmp_path) == ""
