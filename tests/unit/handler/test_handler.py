"""Handlers as plain Python: what they are asked, what they know of a request, how an app's is found."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from application_sdk.app import App, entrypoint
from application_sdk.contracts import Input, Output
from application_sdk.credentials import ApiKeyCredential, BasicCredential, CredentialError, basic_ref
from application_sdk.errors import AppDefinitionError, MisuseError
from application_sdk.execution.redaction import redacted
from application_sdk.handler import (
    ApiMetadataObject,
    ApiMetadataOutput,
    AuthInput,
    AuthOutput,
    AuthStatus,
    DefaultHandler,
    Handler,
    HandlerContext,
    HandlerCredential,
    HandlerError,
    MetadataInput,
    MetadataOutput,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
    SqlMetadataObject,
    SqlMetadataOutput,
    find_handler,
)
from application_sdk.handler.context import bind_handler_context, get_handler_context
from application_sdk.handler.discovery import handlers_of
from application_sdk.infrastructure import (
    InfrastructureContext,
    SecretNotFoundError,
    clear_infrastructure,
    using_infrastructure,
)
from application_sdk.testing import MockSecretStore


@pytest.fixture(autouse=True)
def _nothing_confided() -> Iterator[None]:
    yield
    clear_infrastructure()


class Shop(App):
    async def run(self, input: Input) -> Output:
        return Output()


class ShopHandler(Handler):
    @override
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        await asyncio.sleep(0)
        user = self.context.get_credential("user")
        if user is None:
            return AuthOutput(status=AuthStatus.INVALID_CREDENTIALS, message="no user")
        return AuthOutput(status=AuthStatus.SUCCESS, identities=[user])

    @override
    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        secret = await self.context.get_secret_optional("token")
        return PreflightOutput(status=PreflightStatus.READY if secret else PreflightStatus.NOT_READY)

    @override
    async def fetch_metadata(self, input: MetadataInput) -> MetadataOutput:
        return SqlMetadataOutput(objects=[SqlMetadataObject(TABLE_CATALOG="db", TABLE_SCHEMA="public")])


def credentials(**parts: str) -> list[HandlerCredential]:
    return [HandlerCredential(key=key, value=value) for key, value in parts.items()]


async def test_a_handler_sees_the_credentials_of_its_own_request_only() -> None:
    handler = ShopHandler()

    async def ask(user: str) -> AuthOutput:
        with bind_handler_context(HandlerContext("shop", credentials(user=user))):
            return await handler.test_auth(AuthInput())

    answers = await asyncio.gather(*(ask(user) for user in ("ada", "bob", "eve")))
    assert [answer.identities for answer in answers] == [["ada"], ["bob"], ["eve"]]
    assert get_handler_context() is None


async def test_secrets_come_from_the_context_or_from_where_tasks_get_them() -> None:
    handler = ShopHandler()
    with bind_handler_context(HandlerContext("shop", secret_store=MockSecretStore({"token": "t"}))):
        assert (await handler.preflight_check(PreflightInput())).status is PreflightStatus.READY
    with (
        using_infrastructure(InfrastructureContext(secret_store=MockSecretStore())),
        bind_handler_context(HandlerContext("shop")) as context,
    ):
        assert (await handler.preflight_check(PreflightInput())).status is PreflightStatus.NOT_READY
        with pytest.raises(SecretNotFoundError):
            await context.get_secret("token")


async def test_credentials_of_the_request_come_before_the_apps_secret_and_both_are_typed() -> None:
    kept = MockSecretStore({"db": '{"username": "kept", "password": "p1"}'})
    asked = HandlerContext("shop", credentials(username="given", password="p2"), secret_store=kept)
    assert (await asked.resolve_credential(basic_ref("db"), BasicCredential)).username == "given"
    silent = HandlerContext("shop", secret_store=kept)
    assert (await silent.resolve_credential(basic_ref("db"), BasicCredential)).username == "kept"
    with pytest.raises(CredentialError, match="is a BasicCredential"):
        await silent.resolve_credential(basic_ref("db"), ApiKeyCredential)


async def test_credentials_of_the_request_that_do_not_fit_refuse_it_and_tell_no_value() -> None:
    asked = HandlerContext("shop", credentials(username="ada", pasword="hunter2"))
    with pytest.raises(HandlerError, match=r"password: missing\. It has the fields pasword, username") as caught:
        await asked.resolve_credential(basic_ref("db"), BasicCredential)
    assert caught.value.http_status == 400
    assert "hunter2" not in str(caught.value)


async def test_secrets_that_a_handler_gets_are_masked_in_what_is_told() -> None:
    context = HandlerContext("shop", secret_store=MockSecretStore({"token": "canary-4711", "other": "canary-0815"}))
    await context.get_secret("token")
    await context.get_secret_optional("other")
    assert redacted("canary-4711 canary-0815") == "[redacted] [redacted]"


def test_a_context_outside_of_a_request_is_refused() -> None:
    with pytest.raises(MisuseError, match=r"ShopHandler\.context belongs to a request, and there is none"):
        _ = ShopHandler().context


def test_no_value_of_a_credential_is_shown() -> None:
    given = AuthInput(credentials=credentials(password="hunter2"))
    context = HandlerContext("shop", given.credentials)
    assert "hunter2" not in f"{given!r} {given} {context!r}"
    assert context.get_credential("password") == "hunter2"
    assert context.has_credential("password")
    assert not context.has_credential("user")
    with pytest.raises(ValueError, match="value") as caught:
        AuthInput.model_validate({"credentials": [{"key": "k", "value": ["hunter2"]}]})
    assert "hunter2" not in str(caught.value)


def test_requests_of_newer_callers_are_understood() -> None:
    asked = PreflightInput.model_validate({"connection_config": {"port": 5432}, "from_the_future": True})
    assert asked.connection_config["port"] == 5432
    assert asked.timeout_seconds == 60


def test_answers_are_json_with_all_that_is_in_them() -> None:
    tree = ApiMetadataOutput(
        objects=[ApiMetadataObject(value="1", title="A", children=[ApiMetadataObject(value="2", title="B")])]
    )
    answer: MetadataOutput = tree
    assert answer.model_dump(mode="json")["objects"][0]["children"][0]["title"] == "B"
    assert AuthOutput(status=AuthStatus.EXPIRED).model_dump(mode="json")["status"] == "expired"
    assert [status for status in AuthStatus if status.is_success] == [AuthStatus.SUCCESS]


async def test_the_default_handler_finds_everything_in_order() -> None:
    handler = DefaultHandler()
    assert (await handler.test_auth(AuthInput())).status is AuthStatus.SUCCESS
    assert (await handler.preflight_check(PreflightInput())).status is PreflightStatus.READY
    assert not (await handler.fetch_metadata(MetadataInput())).objects


def test_an_error_says_what_and_who() -> None:
    error = HandlerError("no key", http_status=400, handler_name="ShopHandler", app_name="shop", cause=KeyError("k"))
    assert str(error) == "no key (handler ShopHandler, app shop)"
    assert (error.http_status, error.message) == (400, "no key")
    assert isinstance(error.__cause__, KeyError)
    with pytest.raises(MisuseError, match="between 400 and 599"):
        HandlerError("fine", http_status=200)


def test_a_handler_that_is_not_async_is_refused_with_its_line() -> None:
    with pytest.raises(AppDefinitionError, match=r"Wrong\.test_auth \(.*test_handler\.py:\d+\) isn't async"):

        class Wrong(DefaultHandler):
            def test_auth(self, input: AuthInput) -> AuthOutput: ...  # type: ignore[empty-body,override]


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """A module with one app, `Shop`, and whatever a test puts beside it."""
    made = types.ModuleType("handler_finding")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def app_in(module: types.ModuleType, *handlers: type[Handler]) -> type[App]:
    for handler in handlers:
        handler.__module__ = module.__name__
        setattr(module, handler.__name__, handler)
    return type("Shop", (App,), {"run": Shop.run, "__module__": module.__name__})


def test_an_apps_handler_is_the_one_named_after_it(module: types.ModuleType) -> None:
    assert find_handler(Shop) is ShopHandler
    named, other = type("ShopHandler", (DefaultHandler,), {}), type("Other", (DefaultHandler,), {})
    assert find_handler(app_in(module, other, named)) is named


def test_else_it_is_the_only_one_of_its_module_and_else_the_default(module: types.ModuleType) -> None:
    assert find_handler(app_in(module)) is DefaultHandler
    other = type("Other", (DefaultHandler,), {})
    assert find_handler(app_in(module, other)) is other


def test_which_of_several_handlers_is_meant_must_be_told(module: types.ModuleType) -> None:
    app = app_in(module, type("One", (DefaultHandler,), {}), type("Two", (DefaultHandler,), {}))
    with pytest.raises(AppDefinitionError, match="has several handlers, One, Two, and none is named ShopHandler"):
        find_handler(app)


def test_an_unfinished_handler_is_refused(module: types.ModuleType) -> None:
    app = app_in(module, type("ShopHandler", (Handler,), {"test_auth": ShopHandler.test_auth}))
    with pytest.raises(AppDefinitionError, match=r"ShopHandler lacks fetch_metadata\(\), preflight_check\(\)"):
        find_handler(app)


def test_something_else_of_that_name_is_refused(module: types.ModuleType) -> None:
    app = app_in(module)
    module.ShopHandler = object()  # type: ignore[attr-defined]
    with pytest.raises(AppDefinitionError, match="is no subclass of Handler"):
        find_handler(app)


class TwoWays(Shop):
    @entrypoint
    async def send_back(self, input: Input) -> Output:
        return Output()


def with_entry_points(module: types.ModuleType, *handlers: type[Handler]) -> type[App]:
    app_in(module, *handlers)
    members = {"run": Shop.run, "send_back": TwoWays.send_back, "__module__": module.__name__}
    return type("Shop", (App,), members)


def test_an_entry_points_own_handler_answers_for_it_alone(module: types.ModuleType) -> None:
    own, other = type("ShopSendBackHandler", (DefaultHandler,), {}), type("Other", (DefaultHandler,), {})
    app = with_entry_points(module, own, other)
    assert find_handler(app, "send-back") is own
    assert find_handler(app, "run") is find_handler(app) is other, "the only one that is no entry point's own"
    found = handlers_of(app)
    assert [type(found[name]) for name in ("run", "send-back")] == [other, own]


def test_without_handlers_of_their_own_entry_points_share_one(module: types.ModuleType) -> None:
    found = handlers_of(with_entry_points(module))
    assert found["run"] is found["send-back"]


def test_an_unfinished_handler_of_an_entry_point_is_refused(module: types.ModuleType) -> None:
    app = with_entry_points(module, type("ShopSendBackHandler", (Handler,), {}))
    with pytest.raises(AppDefinitionError, match="ShopSendBackHandler lacks"):
        handlers_of(app)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], type[App]]]:
    """A package with an app and, for the entry point `send-back`, a module of functions with this text."""

    def made(text: str) -> type[App]:
        folder = tmp_path / "handlerpackage"
        (folder / "send_back").mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "send_back" / "handler.py").write_text(text)
        connector = types.ModuleType("handlerpackage.connector")
        monkeypatch.setitem(sys.modules, connector.__name__, connector)
        return with_entry_points(connector, type("ShopHandler", (DefaultHandler,), {}))

    monkeypatch.syspath_prepend(tmp_path)
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "handlerpackage"]:
        del sys.modules[name]


async def test_functions_of_an_entry_points_module_answer_before_the_apps_handler(
    package: Callable[[str], type[App]],
) -> None:
    app = package(
        "from application_sdk.handler import AuthOutput, AuthStatus\n"
        "async def test_auth(input, ctx):\n"
        "    return AuthOutput(status=AuthStatus.EXPIRED, message=ctx.get_credential('user'))\n"
    )
    own, common = handlers_of(app)["send-back"], handlers_of(app)["run"]
    with bind_handler_context(HandlerContext("shop", credentials(user="ada"))):
        said = await own.test_auth(AuthInput())
        assert (said.status, said.message) == (AuthStatus.EXPIRED, "ada")
        assert (await common.test_auth(AuthInput())).status is AuthStatus.SUCCESS
        assert (await own.preflight_check(PreflightInput())).status is PreflightStatus.READY


def test_a_function_of_another_shape_is_refused(package: Callable[[str], type[App]]) -> None:
    app = package("def test_auth(input, ctx): ...\n")
    with pytest.raises(
        AppDefinitionError, match=r"send_back\.handler\.test_auth .* write `async def test_auth\(input, ctx\)"
    ):
        find_handler(app, "send-back")


def test_a_module_that_cant_be_imported_is_told_of(package: Callable[[str], type[App]]) -> None:
    app = package("import there_is_no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        find_handler(app, "send-back")
