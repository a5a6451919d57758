"""The examples' manifests hold together: every file is there, and what they name exists."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.example import EXAMPLES, example

NAMES = ("hello", "catalog", "small_steps", "agent")

SEED = """
from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

class FetchInput(Input):
    name: str = "World"

class FetchOutput(Output):
    message: str = ""

class HelloWorldApp(App):
    @task(timeout_seconds=10)
    async def create_greeting(self, input: FetchInput) -> FetchOutput:
        return FetchOutput(message=f"Hello, {input.name}!")

    async def run(self, input: FetchInput) -> FetchOutput:
        return await self.create_greeting(input)
"""


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def kustomization(name: str) -> dict[str, Any]:
    return documents(EXAMPLES / name / "kustomization.yaml")[0]


def test_hello_is_the_seeds_program() -> None:
    assert ast.dump(ast.parse((EXAMPLES / "hello" / "app.py").read_text())) == ast.dump(ast.parse(SEED))


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_is_there(name: str) -> None:
    found = kustomization(name)
    files = [*found["resources"], *found["configurations"], *found["configMapGenerator"][0]["files"]]
    assert [file for file in files if not (EXAMPLES / name / file).is_file()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_python_file_goes_into_the_config_map(name: str) -> None:
    files = {path.name for path in (EXAMPLES / name).glob("*.py")}
    assert set(kustomization(name)["configMapGenerator"][0]["files"]) == files


@pytest.mark.parametrize("name", NAMES)
def test_run_and_app_fit_together(name: str) -> None:
    (app,) = documents(EXAMPLES / name / "app.yaml")
    (run,) = documents(EXAMPLES / name / "run.yaml")
    assert run["spec"]["appRef"]["name"] == app["metadata"]["name"]
    assert app["spec"]["source"]["configMap"]["name"] == kustomization(name)["configMapGenerator"][0]["name"]
    module, _, class_name = app["spec"]["entry"].partition(":")
    with example(name, module) as modules:
        entry = getattr(modules[module], class_name)
        entry.definition.entrypoint(None).input_type.model_validate(run["spec"]["input"])


def test_the_connectors_manifests_fit_together() -> None:
    (app,) = documents(EXAMPLES / "postgres-catalog" / "app.yaml")
    (run,) = documents(EXAMPLES / "postgres-catalog" / "run.yaml")
    secrets = {
        each["metadata"]["name"]: each["stringData"] for each in documents(EXAMPLES / "postgres-catalog/secret.yaml")
    }
    found = kustomization("postgres-catalog")
    files = [*found["resources"], *found["configurations"]]
    assert [file for file in files if not (EXAMPLES / "postgres-catalog" / file).is_file()] == []
    assert run["spec"]["appRef"]["name"] == app["metadata"]["name"]
    assert app["spec"]["image"].startswith(f"{found['images'][0]['name']}:")
    assert sorted(app["spec"]["secrets"][0]["keys"]) == sorted(secrets["postgres"])
    assert app["spec"]["storage"]["secretRef"]["name"] in secrets


def test_catalog_reads_no_secrets_and_writes_only_witnesses() -> None:
    rules = [rule for each in documents(EXAMPLES / "catalog" / "access.yaml") for rule in each.get("rules", [])]
    core = [resource for rule in rules if "" in rule.get("apiGroups", []) for resource in rule["resources"]]
    assert not {"secrets", "*"} & set(core)
    assert "*" not in [group for rule in rules for group in rule.get("apiGroups", [])]
    writing = [rule for rule in rules if not set(rule["verbs"]) <= {"get", "list"}]
    assert writing == [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
