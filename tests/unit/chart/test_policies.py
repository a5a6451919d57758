"""The admission policies' texts agree with the words that pods look for, and with the fields that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from application_sdk.wire import names
from application_sdk.wire.fields import Report, TaskStatus
from application_sdk.wire.pod import REFUSED_CALLS, REFUSED_FINISHED, REFUSED_NOT_CURRENT
from application_sdk.wire.pod_fields import PodFields, Volume

TEMPLATES = Path(__file__).resolve().parents[3] / "charts" / "apprun" / "templates"
VALUES: dict[str, Any] = yaml.safe_load((TEMPLATES.parent / "values.yaml").read_text("utf-8"))
SCHEMA: dict[str, Any] = json.loads((TEMPLATES.parent / "values.schema.json").read_text("utf-8"))
POLICIES = sorted(TEMPLATES.glob("policy-*.yaml"))
REPORTS = (TEMPLATES / "policy-task-reports.yaml").read_text("utf-8")

WHILE_RUNNING = {"progress", "heartbeat", "begunWith", "abandoned"}
"""Fields that a pod writes before its report."""


def listed() -> set[str]:
    """The fields that only the operator may write, as the policy lists them."""
    found = re.search(r"range list ((?:\"\w+\" ?)+)\}\}", REPORTS)
    assert found
    return set(re.findall(r"\w+", found[1]))


def test_each_field_of_a_tasks_status_has_exactly_one_writer() -> None:
    pod = Report.__annotations__.keys() | WHILE_RUNNING
    assert listed() | pod == TaskStatus.__annotations__.keys()
    assert listed() & pod == set()


@pytest.mark.parametrize("words", [REFUSED_NOT_CURRENT, REFUSED_FINISHED])
def test_pods_recognise_the_refusals(words: str) -> None:
    assert f'message: "{words}' in REPORTS


def test_drivers_recognise_calls_that_they_may_not_make() -> None:
    calls = (TEMPLATES / "policy-task-calls.yaml").read_text("utf-8")
    fields = (TEMPLATES / "policy-pod-fields.yaml").read_text("utf-8")
    assert calls.count("      message: ") - calls.count(f'      message: "{REFUSED_CALLS[0]}') == 5
    assert fields.count("      message: ") == fields.count(f'      message: "{REFUSED_CALLS[1]}') == 1


def test_fields_that_can_be_taken_are_fields_of_a_pod() -> None:
    helpers = (TEMPLATES / "_helpers.tpl").read_text("utf-8")
    (body,) = re.findall(r'define "apprun\.podFields" -\}\}\n(.+?)\n\{\{- end \}\}', helpers, re.S)
    known = re.sub(r'\{\{- " " \}\}', "", body).split()
    assert known == VALUES["podFields"]["allowed"]
    assert known == SCHEMA["properties"]["podFields"]["properties"]["allowed"]["items"]["enum"]
    plain = {field for field in known if "." not in field}
    sources = {field.removeprefix("volumes.") for field in known} - plain
    assert plain <= PodFields.__annotations__.keys()
    assert sources <= Volume.__annotations__.keys()


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_each_policy_fails_closed_and_is_bound(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "failurePolicy: Fail" in text
    (name,) = re.findall(r"^  name: {{ include \"apprun.clusterScoped\" (.+) }}$", text, re.M)
    assert f'include "apprun.policyBinding" {name} }}}}' in text


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_each_refusal_says_who_speaks_and_is_forbidden(path: Path) -> None:
    text = path.read_text("utf-8")
    rules = re.split(r"^    - expression:", text.partition("  validations:")[2], flags=re.M)[1:]
    assert rules
    for rule in rules:
        assert "reason: Forbidden" in rule
        assert re.search(r'message: "apprun: [a-z]', rule)


def test_the_policies_know_names_as_the_wire_builds_them() -> None:
    calls = (TEMPLATES / "policy-task-calls.yaml").read_text("utf-8")
    assert f"'-{names.DRIVER_KEY}-'" in calls
    assert names.pod_name(names.driver_task_name("run"), 7, "0a1b2c3d-0000-4000") == "run-driver-7-0a1b2c3d"
    assert f".substring(0, {names.INCARNATION_LENGTH})" in (TEMPLATES / "_helpers.tpl").read_text("utf-8")
    assert f"':{names.DRIVER_SERVICE_ACCOUNT}'" in calls
    assert f": {names.FIRST_ATTEMPT}" in re.findall(r"name: attempt\n\s+expression: (.+)", REPORTS)[0]


def test_bound_roles_are_named_as_their_service_accounts() -> None:
    roles = (TEMPLATES / "rbac-pods.yaml").read_text("utf-8")
    found = re.findall(r"^kind: ClusterRole\nmetadata:\n  name: (.+)$", roles, re.M)
    assert found == [names.DRIVER_SERVICE_ACCOUNT, names.TASK_SERVICE_ACCOUNT, names.HANDLER_SERVICE_ACCOUNT]
