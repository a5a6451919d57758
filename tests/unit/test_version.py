"""The version stands in three files, and is the same in all of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

import application_sdk

ROOT = Path(__file__).resolve().parents[2]


def test_distribution_chart_and_sdk_have_one_version() -> None:
    distribution = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((ROOT / "charts/apprun/Chart.yaml").read_text())
    assert application_sdk.__version__ == distribution
    assert chart["appVersion"] == distribution
