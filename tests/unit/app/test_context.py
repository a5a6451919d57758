"""`self.context` in a task: which secrets it is given, and that their values don't get out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.credentials import ApiKeyCredential, BasicCredential, api_key_ref, basic_ref
from application_sdk.errors import AppDefinitionError
from application_sdk.infrastructure import InfrastructureContext, clear_infrastructure, set_infrastructure
from application_sdk.testing import MockSecretStore
from application_sdk.testing.runs import FinishedRun, run_app

CANARY = "canary-7f3a-value"


class Ask(Input):
    name: str = "payments"


class Told(Output):
    text: str = ""


class Kept(HeartbeatDetails):
    text: str = ""


class Talker(App):
    @task(retry_max_attempts=1)
    async def returns_it(self, input: Ask) -> Told:
        return Told(text=await self.context.get_secret(input.name))

    @task(retry_max_attempts=1)
    async def raises_it(self, input: Ask) -> Told:
        raise ValueError(f"wrong token {await self.context.get_secret(input.name)}")

    @task(retry_max_attempts=1)
    async def beats_it(self, input: Ask) -> Told:
        self.task_context.heartbeat(Kept(text=await self.context.get_secret(input.name)))
        return Told()

    @task(retry_max_attempts=1)
    async def raises_a_credential(self, input: Ask) -> Told:
        found = await self.context.resolve_credential(basic_ref("db"), BasicCredential)
        raise ValueError(f"{found.username} can't log in with {found.password} ({found.to_auth_header()})")

    @task(secrets=["payments"], retry_max_attempts=1)
    async def narrow(self, input: Ask) -> Told:
        optional = await self.context.get_secret_optional("db")
        value = await self.context.get_secret(input.name)
        return Told(text=f"{len(value)} {optional}")

    @task(secrets=[], retry_max_attempts=1)
    async def none_at_all(self, input: Ask) -> Told:
        key = await self.context.resolve_credential(api_key_ref(input.name))
        assert isinstance(key, ApiKeyCredential)
        return Told(text=key.header_name)

    @task(retry_max_attempts=1)
    async def wants_another_type(self, input: Ask) -> Told:
        key = await self.context.resolve_credential(basic_ref("db"), ApiKeyCredential)
        return Told(text=key.header_name)

    async def run(self, input: Ask) -> Told:
        return await getattr(self, input.name.partition(":")[0])(Ask(name=input.name.partition(":")[2] or "payments"))


@pytest.fixture(autouse=True)
def _store() -> Iterator[None]:
    secrets = MockSecretStore({"payments": CANARY, "db": json.dumps({"username": "extractor", "password": CANARY})})
    set_infrastructure(InfrastructureContext(secret_store=secrets))
    yield
    clear_infrastructure()


def run(what: str) -> FinishedRun:
    return run_app(Talker, Ask(name=what))


def everything(finished: FinishedRun) -> str:
    return repr(finished.result) + repr(finished.executions) + repr(finished.ledger) + repr(finished.exported)


@pytest.mark.parametrize("what", ["returns_it", "raises_it", "beats_it", "raises_a_credential"])
def test_secret_is_in_nothing_that_a_failed_task_leaves(what: str) -> None:
    finished = run(what)
    assert finished.outcome == "Failed"
    assert CANARY not in everything(finished)


def test_output_that_holds_a_secret_is_refused_with_field_and_secret() -> None:
    message = run("returns_it").message
    assert "'text'" in message
    assert "'payments'" in message


def test_credential_error_names_the_user_and_hides_the_password() -> None:
    message = run("raises_a_credential").message
    assert "extractor can't log in with [redacted]" in message


def test_task_is_given_the_secrets_that_it_asks_for_and_no_others() -> None:
    assert run("narrow").output.text == f"{len(CANARY)} None"
    assert "isn't among those that the task asks for" in run("narrow:db").message
    assert "none. Add it there" in run("none_at_all").message


def test_credential_of_another_class_than_the_task_can_use_is_a_permanent_error_that_names_both() -> None:
    finished = run("wants_another_type")
    assert "credential 'db' is a BasicCredential, and a ApiKeyCredential is needed" in finished.message
    assert "credential_type 'api_key'" in finished.message
    assert finished.executed == ["wants_another_type"]


@pytest.mark.parametrize("wrong", ["payments", [1], {"a": 1}])
def test_secrets_that_are_no_list_of_names_are_refused_at_definition(wrong: Any) -> None:
    with pytest.raises(AppDefinitionError, match="must be a list of names"):
        task(secrets=wrong)
