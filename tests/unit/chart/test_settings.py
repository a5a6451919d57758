"""The chart sets the environment variables that the operator reads, with values that it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apprun_operator.settings import SettingsError, from_environment

DEPLOYMENT = Path(__file__).resolve().parents[3] / "charts" / "apprun" / "templates" / "deployment.yaml"
VARIABLES = re.findall(r"name: (APPRUN_\w+)", DEPLOYMENT.read_text("utf-8"))

BASE = {"APPRUN_RUNTIME_IMAGE": "python", "APPRUN_POD_NAME": "operator-0"}
OTHER_VALUE = {
    "APPRUN_RUNTIME_IMAGE": "other",
    "APPRUN_IMAGE_PULL_POLICY": "Never",
    "APPRUN_LEASE": "apprun-system/apprun",
    "APPRUN_SERVICE_ACCOUNT": "apprun-system/apprun",
    "APPRUN_ACCOUNTS": "given",
    "APPRUN_SPOT": '{"nodeSelector": {"node": "spot"}, "tolerations": [{"key": "spot"}]}',
    "APPRUN_LOG_LEVEL": "debug",
    "APPRUN_LOG_FORMAT": "json",
}


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_operator_reads_what_the_chart_sets(variable: str) -> None:
    assert from_environment(BASE | {variable: OTHER_VALUE.get(variable, "7")}) != from_environment(BASE)


def test_the_chart_sets_all_that_the_operator_needs() -> None:
    assert set(BASE) <= set(VARIABLES)


def test_cluster_chooses_the_user_when_the_chart_names_none() -> None:
    assert from_environment(BASE | {"APPRUN_RUN_AS_USER": ""}).limits.run_as_user is None
    assert from_environment(BASE).limits.run_as_user == 65532
    with pytest.raises(SettingsError, match="APPRUN_RUN_AS_USER is '0'"):
        from_environment(BASE | {"APPRUN_RUN_AS_USER": "0"})


@pytest.mark.parametrize("text", ["{", "[]", '{"nodeSelector": {"a": 1}}', '{"tolerations": ["spot"]}'])
def test_place_of_spot_nodes_has_to_be_one(text: str) -> None:
    with pytest.raises(SettingsError, match="APPRUN_SPOT is"):
        from_environment(BASE | {"APPRUN_SPOT": text})
