"""The mocks and fixtures: tasks get secrets, state and heartbeats from memory, and the test sees what they did."""

from __future__ import annotations

import pytest

from application_sdk.app import App, AppContext, task
from application_sdk.app.registry import AppRegistry
from application_sdk.contracts import HeartbeatDetails, Input, Output
from application_sdk.credentials import (
    ApiKeyCredential,
    BasicCredential,
    BearerTokenCredential,
    CertificateCredential,
    CredentialNotFoundError,
    CredentialRef,
    CredentialResolver,
    GitSshCredential,
    GitTokenCredential,
    OAuthClientCredential,
    basic_ref,
)
from application_sdk.infrastructure import (
    EnvironmentSecretStore,
    InfrastructureContext,
    InfrastructureError,
    SecretNotFoundError,
    clear_infrastructure,
    set_infrastructure,
    using_infrastructure,
)
from application_sdk.testing import (
    MockCredentialStore,
    MockHeartbeatController,
    MockSecretStore,
    MockStateStore,
    run_app,
)


class Nothing(Input):
    pass


class Text(Output):
    text: str = ""


class Progress(HeartbeatDetails):
    last: str = ""


class Storing(App):
    @task
    async def work(self, input: Nothing) -> Text:
        key = await self.context.get_secret("api-key")
        before = await self.context.load_state("cursor")
        await self.context.save_state("cursor", {"at": 5})
        missing = await self.context.get_secret_optional("other")
        credential = await self.context.resolve_credential("my-db")
        return Text(text=f"{key} {before} {missing} {credential}")

    @task
    async def beat(self, input: Nothing) -> Text:
        before = self.task_context.get_heartbeat_details(Progress)
        self.task_context.heartbeat(Progress(last="b"))
        self.task_context.progress(1, 2)
        return Text(text=before.last if before else "none")

    async def run(self, input: Nothing) -> Text:
        return await self.work(input)


async def test_tasks_use_the_mocks_of_the_fixtures(
    app_context: AppContext,
    mock_secret_store: MockSecretStore,
    mock_state_store: MockStateStore,
    mock_credential_store: MockCredentialStore,
) -> None:
    mock_secret_store.set("api-key", "s3cret")
    mock_credential_store.put("my-db", "user:pass")
    expected = "s3cret None None user:pass"
    assert (await Storing().work(Nothing())).text == expected
    assert mock_secret_store.get_get_calls() == ["api-key"]
    assert mock_secret_store.get_get_optional_calls() == ["other"]
    assert mock_state_store.get_save_calls() == [("storing/cursor", {"at": 5})]
    assert await app_context.get_secret("api-key") == "s3cret"
    mock_state_store.clear()
    assert run_app(Storing, Nothing()).output.text == expected


async def test_added_credentials_resolve_to_their_types(
    app_context: AppContext, mock_credential_store: MockCredentialStore
) -> None:
    store = mock_credential_store
    added: dict[CredentialRef, object] = {
        store.add_api_key("a", "k", prefix="Key "): ApiKeyCredential(api_key="k", prefix="Key "),
        store.add_basic("b", "user", "pass"): BasicCredential(username="user", password="pass"),
        store.add_bearer_token("c", "t"): BearerTokenCredential(token="t"),
        store.add_oauth_client("d", "id", "s", "https://x", scopes=["r"]): OAuthClientCredential(
            client_id="id", client_secret="s", token_url="https://x", scopes=("r",)
        ),
        store.add_certificate("e", cert_data="pem"): CertificateCredential(cert_data="pem"),
        store.add_git_ssh("f", "key"): GitSshCredential(key_data="key"),
        store.add_git_token("g", "t"): GitTokenCredential(token="t"),
    }
    for ref, credential in added.items():
        assert await app_context.resolve_credential(ref) == credential
        assert type(await app_context.resolve_credential(ref)) is type(credential)
    assert store.get_resolve_calls() == [ref for ref in added for _ in range(2)]
    assert await CredentialResolver(store.secret_store).resolve(basic_ref("b")) == BasicCredential(
        username="user", password="pass"
    )


async def test_a_credential_of_an_apps_own_type_is_added_by_its_fields() -> None:
    store = MockCredentialStore()
    ref = store.add_raw("own", "basic", {"username": "u", "password": "p"})
    assert await store.resolve(ref) == BasicCredential(username="u", password="p")
    with using_infrastructure(InfrastructureContext(secret_store=store.secret_store)):
        assert await AppContext("app").resolve_credential_raw(ref) == {"username": "u", "password": "p"}


async def test_a_credential_that_was_not_added_is_missed_by_name() -> None:
    with pytest.raises(CredentialNotFoundError, match="basic credential 'nope'"):
        await MockCredentialStore().resolve(basic_ref("nope"))


async def test_heartbeats_of_a_bare_task_are_seen(mock_heartbeat: MockHeartbeatController) -> None:
    assert (await Storing().beat(Nothing())).text == "none"
    assert mock_heartbeat.get_heartbeat_calls() == [{"last": "b"}]
    assert mock_heartbeat.get_progress_calls() == [{"done": 1, "total": 2}]


async def test_holding_progress_says_what_is_done_meanwhile(mock_heartbeat: MockHeartbeatController) -> None:
    async with Storing().holding_progress("full scan", timeout=60):
        pass
    assert mock_heartbeat.get_progress_calls() == [{"message": "full scan"}]


async def test_a_missing_secret_fails_with_the_names_there_are() -> None:
    with pytest.raises(SecretNotFoundError, match="has no secret 'b'; it has a"):
        await MockSecretStore({"a": "1"}).get("b")


async def test_a_store_that_is_not_set_up_is_named() -> None:
    set_infrastructure(InfrastructureContext(secret_store=MockSecretStore({"api-key": "x"})))
    try:
        with pytest.raises(InfrastructureError, match="no state store is set up here"):
            await Storing().work(Nothing())
    finally:
        clear_infrastructure()


async def test_secrets_come_from_the_environment_without_a_store() -> None:
    store = EnvironmentSecretStore("APP_", {"APP_API_KEY": "v", "OTHER": "w"})
    assert await store.get("api-key") == "v"
    assert await store.get_optional("nope") is None
    assert await store.list_names() == ["api-key"]
    with pytest.raises(SecretNotFoundError, match="set the environment variable APP_NOPE"):
        await store.get("nope")


def test_a_clean_registry_is_empty_and_comes_back(clean_app_registry: AppRegistry) -> None:
    assert clean_app_registry.list_apps() == []
