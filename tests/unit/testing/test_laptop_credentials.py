"""On a laptop a credential is one variable with JSON, or a variable for each field; the error names both forms."""

from __future__ import annotations

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output
from application_sdk.credentials import BasicCredential, CredentialRef, basic_ref
from application_sdk.testing import run_app


class Extract(Input):
    login: CredentialRef = basic_ref("warehouse")
    raw: bool = False


class Extracted(Output):
    user: str = ""
    fields: str = ""


class Warehouse(App):
    @task(retry_max_attempts=1)
    async def extract(self, input: Extract) -> Extracted:
        if input.raw:
            return Extracted(fields=" ".join(sorted(await self.context.resolve_credential_raw(input.login))))
        login = await self.context.resolve_credential(input.login, BasicCredential)
        assert login.password == "s3cret-enough"
        return Extracted(user=login.username)

    async def run(self, input: Extract) -> Extracted:
        return await self.extract(input)


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPRUN_SECRETS_DIR", raising=False)


def test_json_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", '{"username": "ann", "password": "s3cret-enough"}')
    assert run_app(Warehouse, Extract()).output.user == "ann"


def test_a_variable_for_each_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_USERNAME", "ann")
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "s3cret-enough")
    monkeypatch.setenv("WAREHOUSE_DIRECTORY", "/srv")
    assert run_app(Warehouse, Extract()).output.user == "ann"
    assert run_app(Warehouse, Extract(raw=True)).output.fields == "directory password username"


def test_beside_a_folder_of_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("APPRUN_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("WAREHOUSE_USERNAME", "ann")
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "s3cret-enough")
    assert run_app(Warehouse, Extract()).output.user == "ann"


def test_the_error_names_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_DIRECTORY", "/srv")
    said = run_app(Warehouse, Extract()).message
    assert "set the environment variable WAREHOUSE to the fields as JSON" in said
    assert """WAREHOUSE='{"username": "…", "password": "…"}'""" in said
    assert "or set a variable for each field: WAREHOUSE_USERNAME, WAREHOUSE_PASSWORD" in said


def test_a_missing_field_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_USERNAME", "ann")
    assert "password: missing" in run_app(Warehouse, Extract()).message
